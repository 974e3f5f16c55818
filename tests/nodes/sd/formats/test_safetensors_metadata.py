"""The metadata of safetensors files: equal contents have equal bytes."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from nodes.sd.formats.safetensors_metadata import sort_metadata

METADATA = {f"key {number}": f'"quoted" ü \x01 \t 中 {number}' for number in range(9)}


def test_sorted_files_have_the_same_bytes_and_contents(tmp_path: Path) -> None:
    tensors = {"b": torch.arange(5.0), "a": torch.ones(2, 3, dtype=torch.float16)}
    written = set()
    for number in range(6):
        path = tmp_path / f"{number}.safetensors"
        save_file(tensors, path, METADATA)
        size = path.stat().st_size
        sort_metadata(path)
        assert path.stat().st_size == size
        written.add(path.read_bytes())
        with safe_open(path, "pt") as file:
            assert file.metadata() == METADATA
            assert all(torch.equal(file.get_tensor(name), tensor) for name, tensor in tensors.items())
    assert len(written) == 1


def test_a_file_without_metadata_keeps_its_contents(tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    save_file({"a": torch.ones(3)}, path)
    sort_metadata(path)
    with safe_open(path, "pt") as file:
        assert torch.equal(file.get_tensor("a"), torch.ones(3))
