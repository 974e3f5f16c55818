"""A home whose nodes folder holds one small pack, and ways to call the command line over it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.cli import main

PACK = '''
"""Sums, pictures, and nodes that fail or take their time."""

import hashlib
import os
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from engine.context import Context
from engine.errors import NodeError
from engine.files import Files
from engine.node import Node
from engine.packs.provenance import Provenance
from engine.values import Json, Packed, Part, Value
from engine.widgets import FileIn, Range


@dataclass(frozen=True)
class Picture(Value):
    files: tuple[bytes, ...]

    def pack(self) -> Packed:
        parts = tuple(Part(str(n), "image/png", data) for n, data in enumerate(self.files))
        return Packed(self.wire, {"count": len(self.files)}, parts)

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> "Picture":
        return cls(tuple(parts[str(n)] for n in range(len(parts))))


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


class Paint(Node, category="test"):
    """Paint squares of one grey, one brighter than the other."""

    grey: Annotated[int, Range(0, 255)] = 0
    """0 is black, 255 is white."""
    count: int = 1
    name: str = ""

    def run(self, ctx: Context) -> Picture:
        return Picture(tuple(self.square(self.grey + n) for n in range(self.count)))

    @staticmethod
    def square(grey: int) -> bytes:
        header = (8).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
        rows = zlib.compress((b"\\0" + bytes([grey]) * 8) * 8)
        return b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


class Sheet(Node, category="test"):
    """Put all squares one after the other, the rows of a table too."""

    pictures: Any

    def run(self, ctx: Context) -> Picture:
        def squares(given: Any) -> bytes:
            if isinstance(given, list):
                return b"".join(map(squares, given))
            return b"".join(given.files)

        tone = sum(squares(self.pictures)) % 251
        return Picture((Paint.square(tone),))


class Add(Node, category="test"):
    """Add two numbers."""

    a: int
    b: int = 0
    """What is added."""

    def run(self, ctx: Context) -> int:
        return self.a + self.b


class Say(Node, category="test"):
    """Bring everything together as one object."""

    text: str = ""
    number: float = 0.0
    yes: bool = False
    mode: Literal["plain", "bold"] = "plain"
    tree: dict[str, int] = {}

    def run(self, ctx: Context) -> dict[str, object]:
        if self.text.startswith("warn"):
            ctx.warn(self.text)
        return self.model_dump()


class ReadText(Node, category="test"):
    """Read a file."""

    file: Annotated[str, FileIn("inputs")]

    def fingerprint(self, files: Files) -> Json:
        return files.digest(files.find("inputs", self.file))

    def run(self, ctx: Context) -> str:
        return ctx.files.find("inputs", self.file).read_text()


class Fail(Node, category="test"):
    """Fail in words, or in a surprising way."""

    a: int = 0
    surprise: bool = False

    def run(self, ctx: Context) -> int:
        if self.surprise:
            raise RuntimeError("[bold]surprise")
        raise NodeError("it cannot be done", hint="do something else", input="a")


class Leave(Node, pure=False, category="test"):
    """Make another folder the current one of the process."""

    folder: str

    def run(self, ctx: Context) -> str:
        os.chdir(self.folder)
        return self.folder


class Slow(Node, category="test"):
    """Take a while, step by step."""

    a: int = 0
    steps: int = 1000

    def run(self, ctx: Context) -> int:
        for _ in ctx.track(self.steps):
            time.sleep(0.05)
        return self.a


class Stubborn(Node, category="test"):
    """Take a while, and listen to nobody."""

    def run(self, ctx: Context) -> int:
        time.sleep(60)
        return 0


class Deep(Node, category="test"):
    """Be for hours in a library that runs no line of Python."""

    def run(self, ctx: Context) -> int:
        return len(hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 2_000_000_000))


def annotate(steps: Mapping[str, Provenance], target: str, index: int) -> dict[str, str]:
    made = steps[target]
    if made.inputs["name"] == "refuse":
        raise RuntimeError("no words")
    grey, count = made.inputs["grey"], made.meta["out"]["count"]
    place = f"{index + 1} of {count}"
    return {"parameters": f"{made.node_type} {place}, grey {grey + index}, from {sorted(steps)}"}
'''

Tree = dict[str, Any]


@dataclass
class Answer:
    """What one command line came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON object that it must be."""
        return json.loads(self.out)


Call = Callable[..., Answer]
Write = Callable[..., Path]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the pack, named by the environment."""
    home = tmp_path / "home"
    (home / "nodes").mkdir(parents=True)
    (home / "nodes" / "pack.py").write_text(PACK)
    monkeypatch.setenv("SAFELIGHT_HOME", str(home))
    monkeypatch.delenv("SAFELIGHT_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)
    return home


@pytest.fixture
def call(home: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls the command line in this process."""

    def call(*words: object) -> Answer:
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return call


@pytest.fixture
def write(home: Path, tmp_path: Path) -> Write:
    """Writes a graph file from nodes, inputs and outputs."""

    def write(
        nodes: Mapping[str, Any],
        inputs: Mapping[str, Any] | None = None,
        outputs: Mapping[str, str] | None = None,
        name: str = "graph.json",
        **more: Any,
    ) -> Path:
        tree = {
            "safelight": 1,
            **more,
            "inputs": inputs or {},
            "outputs": {key: {"from": link} for key, link in (outputs or {}).items()},
            "nodes": {
                node: {"type": kind, "inputs": values}
                for node, (kind, values) in ((node, (item[0], item[1])) for node, item in nodes.items())
            },
        }
        path = tmp_path / name
        path.write_text(json.dumps(tree))
        return path

    return write


@pytest.fixture
def painting(write: Write) -> Path:
    """A graph of one picture, whose grey and text are options."""
    return write(
        {"paint": ("Paint@1", {"grey": {"param": "grey"}, "name": {"param": "name"}})},
        {
            "grey": {"type": "int", "default": 7, "doc": "How bright"},
            "name": {"type": "text", "default": "é☕"},
        },
        {"image": "paint.out"},
        title="A Grey  Square!",
    )


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Starts the command line in a process of its own, which does not outlive the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: object, **options: Any) -> subprocess.Popen[str]:
        line = [sys.executable, "-c", "import sys; from engine.cli import main; sys.exit(main())"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
        process = subprocess.Popen([*line, *map(str, words)], env=environment, **pipes)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
