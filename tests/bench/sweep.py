"""Peak memory of a sweep of 2,000 pictures, against one of 200: outputs are written as they are made."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from engine.context import Context
from engine.node import Node
from nodes.values import Image
from tests.bench.bench import ROOT, Row, bench

SIDE = 256
MEMORY_BUDGET = 32 << 20
"""The budget of the memory tier, small beside 2,000 pictures of 192 KiB each."""


class Paint(Node):
    """Paint a picture of noise that depends on the seed."""

    seed: int = 0

    def run(self, ctx: Context) -> Image:
        import numpy

        noise = numpy.random.default_rng(self.seed)
        return Image(noise.integers(0, 256, (1, SIDE, SIDE, 3), dtype="uint8"))


SCRIPT = """
import sys
from engine import settings
from engine.document.graph import Entry, From, Graph, GraphInput, Param
from engine.document.sweep import Sweep
from engine.packs.registry import Registry
from engine.session import Session
from tests.bench import sweep
from tests.bench.bench import new_home, peak_memory

count = int(sys.argv[1])
graph = Graph(
    {"paint": Entry("Paint@1", {"seed": Param("seed")})},
    inputs={"seed": GraphInput("int", 0)},
    outputs={"image": From("paint", "out")},
)
with new_home() as home:
    place = settings.load(home, device="cpu", memory_budget=sweep.MEMORY_BUDGET)
    with Session(place, registry=Registry([sweep.Paint])) as session:
        report = session.run(graph, {"seed": Sweep(tuple(range(count)))}, out=home / "out")
    assert report.state == "done", report.problems
    assert len(list((home / "out").iterdir())) == count
print(peak_memory())
"""


def peak(count: int) -> float:
    """The peak resident set of a process that runs a sweep, in MiB."""
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(count)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return float(ended.stdout.split()[-1])


@bench
def sweep_memory() -> Iterator[Row]:
    """One process each."""
    few, many = peak(200), peak(2000)
    yield Row(
        "peak memory, sweep of 2,000 pictures",
        round(many, 1),
        "MiB RSS",
        "<= 1.15 of a sweep of 200",
        many <= 1.15 * few,
        f"{SIDE} px pictures of noise, written to files; memory tier of {MEMORY_BUDGET >> 20} MiB",
        peer=round(few, 1),
        ratio=round(few / many, 3),
    )
