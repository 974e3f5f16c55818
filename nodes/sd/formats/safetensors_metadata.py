"""Writes metadata into the header of a safetensors file, always in the same order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from nodes.sd.formats.safetensors_header import LENGTH


def with_metadata(data: bytes, metadata: Mapping[str, str]) -> bytes:
    """Replace the metadata of a safetensors file, and sort it by name.

    The safetensors library writes metadata in an order that changes from process to process.
    """
    length = int.from_bytes(data[:LENGTH], "little")
    header = json.loads(data[LENGTH : LENGTH + length])
    header.pop("__metadata__", None)
    whole = {"__metadata__": dict(sorted(metadata.items())), **header}
    text = json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(LENGTH, "little") + text + data[LENGTH + length :]


def sort_metadata(path: Path) -> None:
    """Sort the metadata of a safetensors file by name, in place; the tensors are not read.

    Raises:
        OSError: the file cannot be read or written.
    """
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(LENGTH), "little")
        header = json.loads(file.read(length))
        if "__metadata__" not in header:
            return
        whole = {**header, "__metadata__": dict(sorted(header["__metadata__"].items()))}
        text = json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) <= length:
            file.seek(LENGTH)
            file.write(text + b" " * (length - len(text)))
