"""What a file is follows from its bytes, whatever a header's length happens to begin with."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.read import read_tensors, recognised

WRITTEN = torch.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize("begins", [b"\x80\2", b"PK", b"\x80\5", b"\x89P", b"RI", b"<h", b"{}", b"]}"])
def test_a_header_whose_length_looks_like_another_format_is_read(tmp_path: Path, begins: bytes) -> None:
    data = save({"emb_params": WRITTEN})
    length = int.from_bytes(data[:8], "little")
    wanted = int.from_bytes(begins, "little") + (length & ~0xFFFF)
    wanted += 0 if wanted >= length else 1 << 16
    padded = struct.pack("<Q", wanted) + data[8 : 8 + length] + b" " * (wanted - length) + data[8 + length :]
    (tmp_path / "x").write_bytes(padded)
    assert padded.startswith(begins)
    assert recognised(tmp_path / "x") == "safetensors"
    assert torch.equal(read_tensors(tmp_path / "x")["emb_params"], WRITTEN)


def test_torchs_own_files_are_none_of_these(tmp_path: Path) -> None:
    for old in (False, True):
        torch.save({"{": WRITTEN}, tmp_path / "x", _use_new_zipfile_serialization=not old)
        assert recognised(tmp_path / "x") == "pickle"


@pytest.mark.parametrize("begins", [b"\x80\2\0\0\0\0\0\0{", b"PK\3\4\0\0\0\0{", b"\x80\2X\2\0\0\0{{q\0."])
def test_a_file_of_two_formats_is_refused(tmp_path: Path, begins: bytes) -> None:
    (tmp_path / "x").write_bytes(begins + bytes(99))
    with pytest.raises(BadFileError):
        read_tensors(tmp_path / "x")
