"""A home folder with a node pack of small nodes that need no torch: they add, wait, print and die."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from engine.document.graph import Binding, Entry, From, Graph, Literal
from engine.document.run_request import RunRequest

PACK = '''
import ctypes, hashlib, os, resource, time
from collections.abc import Mapping
from typing import Annotated, Literal
from PIL import Image

from engine.context import Context
from engine.errors import Cancelled
from engine.files import Files
from engine.node import Node
from engine.values import Packed, Part, Value
from engine.widgets import SecretName, Seed


class Add(Node):
    """Add two numbers."""

    a: int = 1
    b: int = 1

    def run(self, ctx: Context) -> int:
        return self.a + self.b


class Bytes(Value, wire="trial/Bytes", lossless=True):
    """Some bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def pack(self) -> Packed:
        return Packed(self.wire, None, (Part("data", "application/octet-stream", self.data),))

    @classmethod
    def unpack(cls, meta: object, parts: Mapping[str, bytes]) -> "Bytes":
        return cls(parts["data"])


class Make(Node):
    """Make bytes from a number, or more bytes from bytes."""

    seed: int = 0
    before: Bytes | None = None

    def run(self, ctx: Context) -> Bytes:
        data = b"" if self.before is None else self.before.data
        return Bytes(hashlib.sha256(data + b"%d" % self.seed).digest() * 300)


class Roll(Node):
    """Return the seed."""

    seed: Seed = 0

    def run(self, ctx: Context) -> int:
        return self.seed


class Trap(Node):
    """A node whose fingerprint ends the process or hangs."""

    how: Literal["exit", "hang"] = "exit"

    def fingerprint(self, files: Files) -> int:
        if self.how == "exit":
            os._exit(3)
        time.sleep(60)
        return 1

    def run(self, ctx: Context) -> int:
        return 1


class Note(Node):
    """Write a line to a file each time it runs."""

    path: str
    text: str = "ran"
    seconds: float = 0.0

    def run(self, ctx: Context) -> str:
        with open(self.path, "a") as file:
            file.write(self.text + "\\n")
        time.sleep(self.seconds)
        return self.text


class Wait(Node, pure=False):
    """Wait in many short steps, or until a request comes."""

    seconds: float = 30.0
    after: str = ""

    def run(self, ctx: Context) -> str:
        for _ in ctx.track(int(self.seconds / 0.01)):
            if requests := ctx.requests():
                return ",".join(sorted(requests))
            time.sleep(0.01)
        return "nothing"


class Die(Node):
    """End the process; with a file, only if that does not exist yet."""

    how: Literal["exit", "segfault", "kill", "hang", "raise"] = "exit"
    once: str = ""

    def run(self, ctx: Context) -> int:
        if self.once:
            if os.path.exists(self.once):
                return 1
            open(self.once, "w").close()
        if self.how == "exit":
            os._exit(3)
        if self.how == "segfault":
            ctypes.string_at(0)
        if self.how == "kill":
            os.kill(os.getpid(), 9)
        if self.how == "raise":
            raise ValueError("the node raises")
        while True:
            time.sleep(0.1)


class Tell(Node):
    """Print, warn of and fail with a secret."""

    key: Annotated[str, SecretName()] = "trial"

    def run(self, ctx: Context) -> int:
        value = ctx.secret(self.key)
        print("printed", value, flush=True)
        ctx.warn(f"warned of {value}")
        raise ValueError(f"failed with {value}")


class Fill(Node):
    """Use 768 MiB of memory, within a limit of this process that is set first."""

    limit: int = 0
    """In MiB beyond what is in use; 0 sets none."""

    def run(self, ctx: Context) -> int:
        if self.limit:
            pages = int(open("/proc/self/statm").read().split()[0])
            most = pages * resource.getpagesize() + (self.limit << 20)
            resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
        try:
            held = [bytearray(os.urandom(1) * (16 << 20)) for _ in range(48)]
            return len(held)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class Learn(Node):
    """Count up, slowly; continue from the saved count."""

    steps: int = 300
    seconds: float = 0.01

    def run(self, ctx: Context) -> int:
        state = ctx.scratch / "state"
        done = int(state.read_text()) if state.exists() else 0
        for step in range(done, self.steps):
            for request in ctx.requests():
                state.write_text(str(step))
                ctx.checkpoint(step)
                if request == "stop":
                    raise Cancelled
                if request == "sample":
                    ctx.sample(Image.new("RGB", (8, 8), (step % 256, 0, 0)), step, "a sample")
            ctx.metrics(step=step, loss=1 / (step + 1))
            ctx.preview(Image.new("RGB", (8, 8)))
            time.sleep(self.seconds)
        return self.steps
'''


def make_home(folder: Path) -> Path:
    """A new home folder with the pack."""
    (folder / "nodes").mkdir(parents=True)
    (folder / "nodes" / "trial.py").write_text(PACK)
    return folder


def request(type: str, title: str = "trial", **inputs: Any) -> RunRequest:
    """A graph of one node, whose output is declared."""
    entry = Entry(f"{type}@1", {name: Literal(value) for name, value in inputs.items()})
    return RunRequest(Graph({"node": entry}, outputs={"value": From("node", "out")}, title=title))


def chain(number: int) -> RunRequest:
    """A graph that makes bytes in three steps and writes them to a file."""
    nodes: dict[str, Entry] = {}
    for step in range(3):
        inputs: dict[str, Binding] = {"seed": Literal(number)}
        if step:
            inputs["before"] = From(f"n{step - 1}", "out")
        nodes[f"n{step}"] = Entry("Make@1", inputs)
    return RunRequest(Graph(nodes, outputs={"data": From("n2", "out")}, title=f"chain {number}"))


def chained(number: int) -> bytes:
    """The bytes that `chain` makes."""
    data = b""
    for _ in range(3):
        data = hashlib.sha256(data + b"%d" % number).digest() * 300
    return data
