"""The process that reads pickles: it drops its permissions, then describes the content of files."""

from __future__ import annotations

import io
import json
import math
import os
import sys
from contextlib import suppress
from typing import Any

from .archive import content, members
from .known import ITEM_SIZE, Known, Laid, Stand, Storage
from .refused import RefusedError, shown
from .stream import read_stream
from .unpickler import Unpickler

MEMORY = 160 << 20
"""The memory limit of the process in bytes, including Python itself."""
SECONDS = 5
_PICKLE_LIMIT = 32 << 20
_VALUES = 200_000
_DEPTH = 12


def main(handles: list[str]) -> None:
    """Describe the files of the given file descriptors, and print one line of JSON for each."""
    _give_up_rights(len(handles))
    for handle in handles:
        file = io.FileIO(int(handle), closefd=False)
        try:
            answer: Any = _described(file)
        except RefusedError as error:
            answer = {"code": error.code, "message": error.message}
        except (MemoryError, RecursionError):
            answer = {"code": "no_memory", "message": "needs more memory to read than a file of tensors does"}
        sys.stdout.write(json.dumps(answer, allow_nan=False) + "\n")
        sys.stdout.flush()


def _give_up_rights(files: int) -> None:
    """Limit the memory, time, files, sockets and processes of this process to what reading requires."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    for limit, most in {
        resource.RLIMIT_AS: MEMORY,
        resource.RLIMIT_CPU: SECONDS + files,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 0,  # open files stay open; no further files or sockets can be opened
    }.items():
        with suppress(ValueError, OSError):  # the system does not support this limit, or has a lower one
            resource.setrlimit(limit, (most, most))


def _described(file: io.FileIO) -> dict[str, Any]:
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    if file.read(4) == b"PK\3\4":
        return _zip(file, size)
    value, places = read_stream(file, size, _PICKLE_LIMIT)
    return _plan("torch stream", value, {key: (s, at, -1) for key, (s, at) in places.items()})


def _zip(file: io.FileIO, size: int) -> dict[str, Any]:
    inside = members(file, size)
    if "data.pkl" not in inside:
        raise RefusedError("not_torch", "is a zip file that torch did not write")
    order = inside.get("byteorder")
    if order is not None and content(file, order, 16) != b"little":
        raise RefusedError("not_torch", "was written on a big-endian machine")
    reader = Unpickler(content(file, inside["data.pkl"], _PICKLE_LIMIT), "data.pkl")
    value = reader.load()
    places = {}
    for key, storage in reader.storages.items():
        member = inside.get(f"data/{key}")
        if member is None:
            raise RefusedError("bad_zip", f"has no data for its storage {shown(key)}")
        if member.size != storage.whole * ITEM_SIZE[storage.dtype]:
            raise RefusedError("bad_zip", f"has contradicting entries for its storage {shown(key)}")
        places[key] = storage, member.start, member.stored if member.deflated else -1
    return _plan("torch zip", value, places)


def _plan(kind: str, value: object, places: dict[str, tuple[Storage, int, int]]) -> dict[str, Any]:
    """Describe the content as JSON: runs of bytes, the tensors in them, and the tree of the pickle."""
    numbers = {key: n for n, key in enumerate(places)}
    tensors: list[list[Any]] = []
    slots: dict[int, int] = {}
    budget = _VALUES

    def spelled(item: object, depth: int) -> Any:
        nonlocal budget
        budget -= 1
        if budget < 0 or depth > _DEPTH:
            more = (
                f"more than {_VALUES:,} values"
                if budget < 0
                else f"values nested deeper than {_DEPTH} levels"
            )
            raise RefusedError("too_large", f"holds {more}")
        match item:
            case None | bool() | int() | str():
                return item
            case float():
                return item if math.isfinite(item) else {"float": str(item)}
            case Laid():
                if id(item) not in slots:
                    slots[id(item)] = len(tensors)
                    storage = item.storage
                    tensors.append(
                        [
                            numbers[storage.key],
                            storage.dtype,
                            storage.first + item.offset,
                            list(item.shape),
                            list(item.strides),
                        ]
                    )
                return {"tensor": slots[id(item)]}
            case dict():
                return {"dict": [[spelled(k, depth), spelled(v, depth + 1)] for k, v in item.items()]}
            case list() | tuple() | set():
                return [spelled(inner, depth + 1) for inner in item]
            case Stand(name="torch.nn.modules.container.ParameterDict"):
                return spelled(item.state.get("_parameters", {}), depth)
            case Stand() | Known():
                return {"other": item.name}
        return {"other": type(item).__name__}

    tree = spelled(value, 0)
    runs = [
        [start, packed, storage.whole * ITEM_SIZE[storage.dtype]]
        for storage, start, packed in places.values()
    ]
    return {"format": kind, "runs": runs, "tensors": tensors, "tree": tree}
