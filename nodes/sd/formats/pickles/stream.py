"""Reads files that `torch.save` wrote before version 1.6: pickles, followed by the numbers of tensors."""

from __future__ import annotations

import io
from typing import Any

from .known import ITEM_SIZE, Storage
from .refused import RefusedError, shown
from .unpickler import Unpickler

MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


def read_stream(file: io.FileIO, size: int, limit: int) -> tuple[Any, dict[str, tuple[Storage, int]]]:
    """Read the pickled value of a file, and find its storages.

    Args:
        file: the file.
        size: its size in bytes.
        limit: the most bytes that the pickles before the numbers may take.

    Returns:
        the value, and by key each storage with the place of its first byte in the file.

    Raises:
        RefusedError: the file is damaged or unsafe.
    """
    file.seek(0)
    reader = Unpickler(file.read(min(size, limit)), "the pickle")
    first = reader.load()
    if first != MAGIC:
        raise RefusedError(
            "not_torch", f"is a pickle that torch did not write: it contains {shown(_kind(first))}"
        )
    version, system = reader.load(), reader.load()
    if version != _PROTOCOL or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise RefusedError(
            "not_torch", "was written by an unknown version of torch, or on a big-endian machine"
        )
    value = reader.load()
    keys = reader.load()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise RefusedError("bad_pickle", "has no list of the names of its storages")
    if missing := sorted(set(reader.storages) - set(keys)):
        raise RefusedError("bad_pickle", f"does not list the storage {shown(missing[0])}, which it uses")
    if len(keys) != len(set(keys)):
        raise RefusedError("bad_pickle", "lists a storage twice")
    at = reader.at
    places = {}
    for key in keys:
        storage = reader.storages.get(key)
        if storage is None:
            raise RefusedError("bad_pickle", f"lists the storage {shown(key)}, which is not used")
        file.seek(at)
        count = int.from_bytes(file.read(8), "little")
        if count != storage.whole:
            raise RefusedError("bad_pickle", f"has contradicting entries for its storage {shown(key)}")
        places[key] = storage, at + 8
        at += 8 + count * ITEM_SIZE[storage.dtype]
    if at > size:
        raise RefusedError("truncated", f"ends {at - size:,} bytes early: it was cut short")
    return value, places


def _kind(value: object) -> str:
    return type(value).__name__
