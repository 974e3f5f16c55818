"""Reads model files. The format is recognised by the content, not by the file name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.opened import opened, read_at
from nodes.sd.formats.pickled import read_pickled
from nodes.sd.formats.safetensors_header import read_header
from nodes.sd.formats.tensors import Named, Tensors

_PICKLES = frozenset(bytes([code]) for code in b"\x80(c}])NIJKMLFGSTUVX")
"""The first bytes of pickles: torch writes the first of them; malicious files may begin with any."""

Kind = Literal["safetensors", "pickle", "picture"]


def read_tensors(path: Path) -> Tensors:
    """Open the tensors of a safetensors file, or of a file that `torch.save` wrote.

    No code from the file is executed. A pickle that contains anything other than tensors and plain data is
    rejected.

    Raises:
        BadFileError: the file cannot be read, or has another format. The message names file and fault.
    """
    kind = recognised(path)
    if kind == "pickle":
        return read_pickled(path)
    if kind == "picture":
        raise BadFileError("not_tensors", f"{path} is a picture, not a file of tensors.")
    identity, entries, metadata = read_header(path)
    tree = {name: Named(name) for name in entries}
    return Tensors(path, identity, "safetensors", entries, metadata, tree)


def recognised(path: Path) -> Kind:
    """Recognise the format of a file by its first bytes.

    Raises:
        BadFileError: the file cannot be read, or has an unknown format.
    """
    file, identity = opened(path)
    with file:
        head = bytes(read_at(file, 0, min(identity.size, 64)))
    if not head:
        raise BadFileError("empty", f"{path} is empty. Download it again.")
    # The length of a safetensors header may look like the start of a pickle or zip file in its lower half.
    if head[8:9] == b"{" and (head[4:8] == bytes(4) or head[:2] not in (b"\x80\x02", b"PK")):
        return "safetensors"
    if head.startswith(b"\x89PNG\r\n\x1a\n") or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "picture"
    if head.startswith(b"version https://git-lfs"):
        raise BadFileError(
            "not_downloaded", f"{path} is a Git LFS pointer, not the file itself. Run git lfs pull."
        )
    if head.startswith(b"GGUF"):
        raise BadFileError(
            "unknown_format",
            f"{path} is a GGUF file, which Safelight cannot read. Download the safetensors file.",
        )
    if head.lstrip().startswith((b"<", b"{")) and not head.startswith(b"PK"):
        raise BadFileError("unknown_format", f"{path} is a web page or text, not a model. Download it again.")
    if head.startswith(b"PK\3\4") or head[:1] in _PICKLES:
        return "pickle"
    raise BadFileError(
        "unknown_format", f"{path} is neither a safetensors file nor a pickle. Download it again."
    )
