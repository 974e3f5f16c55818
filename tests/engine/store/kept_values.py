"""Values for the tests of the stores, and what to expect of a store that a seed filled."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

from engine.packing import pack
from engine.store.store import Result
from engine.values import Json, Packed, Part, Value, sha256


@dataclass(frozen=True)
class Note(Value, wire="TestNote"):
    """Some text and any number of runs of bytes."""

    text: str
    pages: tuple[bytes, ...] = ()

    @property
    def nbytes(self) -> int:
        return len(self.text) + sum(map(len, self.pages))

    def pack(self) -> Packed:
        parts = (Part(f"page-{n}", "application/octet-stream", page) for n, page in enumerate(self.pages))
        return Packed(self.wire, {"text": self.text, "pages": len(self.pages)}, tuple(parts))

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        assert isinstance(meta, dict)
        count = meta["pages"]
        assert isinstance(count, int)
        return cls(str(meta["text"]), tuple(parts[f"page-{n}"] for n in range(count)))


def result(*values: object, seconds: float = 1.0, node_type: str = "Test@1", made: float = 1.5e9) -> Result:
    """A result whose outputs are named a, b, c..."""
    outputs = {chr(ord("a") + n): value for n, value in enumerate(values)}
    return Result(outputs, seconds, made, node_type)


def key(n: int) -> str:
    return sha256(f"key {n}".encode())


@cache
def result_of(n: int) -> Result:
    """The result under `key(n)`: plain JSON, a short part, a long part, or two long ones and a short one."""
    made = random.Random(n)
    kinds = (
        lambda: {"n": n, "list": [1.5, None, "ü"]},
        lambda: Note(f"short {n}", (made.randbytes(made.randrange(1, 2000)),)),
        lambda: Note(f"long {n}", (made.randbytes(made.randrange(17_000, 60_000)),)),
        lambda: [Note(f"in a list {n}", tuple(map(made.randbytes, (20_000, 10, 17_000)))), n],
    )
    return result(kinds[n % 4](), n, seconds=n / 7, node_type=f"Kind{n % 4}@1", made=1.5e9 + n)


def files_of(result: Result) -> set[str]:
    """The names of the files that a store makes of a result: those of its parts above 16 KiB."""
    parts = (part for value in result.outputs.values() for part in pack(value).parts)
    return {sha256(part.data) for part in parts if len(part.data) > 16 * 1024}


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A new folder in memory if there is such a file system, for tests that open many stores."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


def wait_until(true: Callable[[], object]) -> None:
    """Wait for what another thread or process does; fails when it does not for ten seconds."""
    for _ in range(1000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def blob_names(folder: Path) -> set[str]:
    return {path.parent.name + path.name for path in (folder / "blobs").rglob("*") if path.is_file()}


def bytes_at_once(folder: Path) -> int:
    """How much lay in a folder at one moment at least, while others write and delete there.

    What is there when everything has been looked at, and is there still when it is looked at again, was there
    together in between.
    """

    def look() -> dict[int, int]:
        found = {}
        for place, _, names in os.walk(folder):
            for name in names:
                with suppress(FileNotFoundError):
                    status = os.stat(f"{place}/{name}")
                    found[status.st_ino] = status.st_size
        return found

    before, after = look(), look()
    return sum(min(size, after[number]) for number, size in before.items() if number in after)
