"""The work that is killed, starved and disturbed: a graph of blobs, and what it must come to."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self
from unittest import mock

from engine import context, digests, failpoints, settings
from engine.context import Context
from engine.document.graph import Entry, From, Graph, Literal
from engine.failpoints import Fault
from engine.files import Files
from engine.node import Node
from engine.packs.registry import Registry
from engine.run import result_caching
from engine.session import Session
from engine.store import disk
from engine.store.disk import Disk
from engine.store.shared_folder import write_buffer
from engine.store.store import Result
from engine.values import Json, Packed, Part, Value, sha256

TEXT = "read by every run"
MB = 1 << 20


class Blob(Value, wire="FaultBlob"):
    """Some bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def nbytes(self) -> int:
        return len(self.data)

    def pack(self) -> Packed:
        return Packed(self.wire, len(self.data), (Part("data", "application/octet-stream", self.data),))

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        return cls(parts["data"])


def grown(seed: int, salt: int, before: bytes) -> bytes:
    """Bytes that differ with each of these; with a larger seed too many for the index."""
    return bytes.fromhex(sha256(b"%d %d " % (seed, salt) + before)) * (20 + 80 * min(seed, 8))


class Grow(Node):
    """Make bytes of bytes."""

    seed: int
    salt: int
    blob: Blob | None = None

    def run(self, ctx: Context) -> Blob:
        for _ in ctx.track(2):
            time.sleep(0.0002)
        return Blob(grown(self.seed, self.salt, self.blob.data if self.blob else b""))


class Read(Node):
    """Read a file."""

    name: str
    salt: int

    def fingerprint(self, files: Files) -> Json:
        return files.digest(files.find("inputs", self.name))

    def run(self, ctx: Context) -> Blob:
        return Blob(ctx.files.find("inputs", self.name).read_bytes() + b"%d" % self.salt)


@cache
def expected(size: int, salt: int) -> dict[str, bytes]:
    """What the outputs of the graph are, by walking it as one would by hand."""
    made = [TEXT.encode() + b"%d" % salt]
    for n in range(1, size):
        made.append(grown(n, salt, made[n // 2]))
    return {f"o{n}": made[n] for n in range(size // 2, size)}


def values(size: int, salt: int, written: Iterable[str]) -> dict[str, str]:
    """The digests of some of the outputs, as the report has them."""
    wanted = expected(size, salt)
    return {name: Blob(wanted[name]).pack().digest for name in written}


def graph_of(size: int, salt: int) -> Graph:
    """A binary tree that begins with a file; its leaves are the outputs."""
    graph = Graph({"n0": Entry("Read@1", {"name": Literal("text.txt"), "salt": Literal(salt)})})
    for n in range(1, size):
        graph.nodes[f"n{n}"] = Entry(
            "Grow@1", {"seed": Literal(n), "salt": Literal(salt), "blob": From(f"n{n // 2}", "out")}
        )
    graph.outputs = {name: From("n" + name[1:], "out") for name in expected(size, salt)}
    return graph


def furnish(home: Path) -> Path:
    """A home with what the graph reads."""
    (home / "inputs").mkdir(parents=True)
    (home / "inputs" / "text.txt").write_text(TEXT)
    return home


@dataclass(frozen=True)
class Job:
    """One run by a process of its own."""

    home: str
    salt: int
    size: int = 20
    faults: tuple[Fault, ...] = ()
    """What goes wrong in it."""
    kill_after: float | None = None
    """Seconds until it is killed from outside."""
    budget: int = 256 * MB
    workers: int = 4
    """How many steps may run at once; with 1, every run does the same in the same order."""
    keys: tuple[str, ...] = ()
    """Results that are to be there before the run."""
    clock: float = 0.0
    """Seconds that the clock of this process is ahead."""
    commit_after: float = 0.002
    """Seconds that rows wait; so short that a kill falls between the commits of one run."""
    flush_seconds: float = 0.02
    """Seconds of a step after which its result is written, and announced, at once."""
    verify: bool = True


@contextmanager
def _altered(job: Job) -> Iterator[None]:
    with ExitStack() as stack:
        for module in (write_buffer, disk):
            stack.enter_context(mock.patch.object(module, "SECONDS", job.commit_after))
        stack.enter_context(mock.patch.object(result_caching, "FLUSH_SECONDS", job.flush_seconds))
        # Progress is reported at the end of a node only, so that equal runs have equal journals.
        stack.enter_context(mock.patch.object(context, "REPORTS_A_SECOND", 1e-9))
        # The file was just made, and would otherwise be too young for its digest to be written down.
        stack.enter_context(mock.patch.object(digests, "_SETTLED_SECONDS", 0.0))
        if job.clock:
            real, ahead = time.time, job.clock
            stack.enter_context(mock.patch.object(time, "time", side_effect=lambda: real() + ahead))
        yield


def do(job: Job) -> dict[str, Any]:
    """One run as the command line does it: plan, run, write the outputs; what came of it."""
    begun = time.perf_counter()
    warnings: list[str] = []
    outcome: dict[str, Any] = {"warnings": warnings}
    failpoints.arm(*job.faults)
    with _altered(job):
        place = settings.load(Path(job.home), device="cpu", disk_budget=job.budget, workers=job.workers)
        with Session(place, registry=Registry([Grow, Read]), warn=warnings.append) as session:
            store = session.store
            held = store.where(list(job.keys))
            outcome["ready"] = time.perf_counter() - begun
            results = {key: store.load(key) for key in job.keys if key in held}
            outcome["loaded"] = {
                key: _digest(result) for key, result in results.items() if result is not None
            }
            outcome["missing"] = sorted(set(job.keys) - set(outcome["loaded"]))
            graph = graph_of(job.size, job.salt)
            plan = session.plan(graph)
            why = session.reasons(plan).why
            outcome["reasons"] = {step.id: why(step) for step in plan.steps.values()}
            report = session.run(graph, title="run", write=True)
            outcome |= {"state": report.state}
            outcome["outputs"] = {name: list(map(str, files)) for name, files in report.files.items()}
            outcome["unwritten"] = [item.message for item in report.problems if item.code == "unwritable"]
            outcome["reused"] = sum(node.cache != "none" for node in report.nodes.values())
            outcome["problems"] = [str(node.problem) for node in report.nodes.values() if node.problem]
            outcome["values"] = {name: item.digest for name, item in report.written.items()}
            if job.verify and isinstance(store.disk, Disk):
                outcome["damaged"] = [str(item) for item in store.disk.verify()]
    outcome["sites"] = failpoints.passed()
    outcome["seconds"] = time.perf_counter() - begun
    return outcome


def _digest(result: Result) -> str:
    blob = result.outputs["out"]
    assert isinstance(blob, Blob)
    return sha256(blob.data)
