"""Puts metadata into the header of a safetensors file, in an order that is always the same."""

from __future__ import annotations

import json
from collections.abc import Mapping

from nodes.sd.formats.safetensors_header import LENGTH


def with_metadata(data: bytes, metadata: Mapping[str, str]) -> bytes:
    """A safetensors file with other metadata, sorted by name.

    The common library writes metadata in an order that changes from process to process.
    """
    length = int.from_bytes(data[:LENGTH], "little")
    header = json.loads(data[LENGTH : LENGTH + length])
    header.pop("__metadata__", None)
    whole = {"__metadata__": dict(sorted(metadata.items())), **header}
    text = json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(LENGTH, "little") + text + data[LENGTH + length :]
