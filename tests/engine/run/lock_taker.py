"""A process of slow steps that write down each computation: `claimer.py home log action count seed`."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from engine import settings
from engine.context import Context
from engine.document.graph import Entry, Graph, Literal
from engine.node import Node
from engine.packs.registry import Registry
from engine.run.report import Report
from engine.session import Session


class Slow(Node):
    """Write a line for each computation, then take some time."""

    n: int
    log: str
    seconds: ClassVar[float] = 0.3
    fails: ClassVar[bool] = False
    loads: ClassVar[bool] = False
    """None of these is an input, and so none is part of the key."""

    def run(self, ctx: Context) -> int:
        with open(self.log, "a") as log:
            log.write(f"{self.n}\n")
        ends = time.monotonic() + self.seconds
        while self.loads and time.monotonic() < ends:
            pass  # at work, but without progress, like a model that is being loaded
        for _ in () if self.loads else ctx.track(100):
            time.sleep(self.seconds / 100)
        if self.fails:
            raise ValueError("as it was told to")
        return self.n * self.n


def session(home: Path, warn: Callable[[str], None] = sys.exit) -> Session:
    """A session that knows the node."""
    return Session(settings.load(home, device="cpu", workers=4), registry=Registry([Slow]), warn=warn)


def graph(log: Path, numbers: list[int]) -> Graph:
    """A node for each of the numbers."""
    nodes = {f"n{n}": Entry("Slow@1", {"n": Literal(n), "log": Literal(str(log))}) for n in numbers}
    return Graph(nodes)


def run(home: Path, log: Path, numbers: list[int]) -> Report:
    """Run these, as one run of a session of its own."""
    with session(home) as ours:
        return ours.run(graph(log, numbers))


def main(home: str, log: str, action: str, count: str, seed: str) -> None:
    """Run that many of the numbers in an order of its own, and say how each fared."""
    Slow.seconds = float(action.removeprefix("fail").removeprefix("load"))
    Slow.fails, Slow.loads = action.startswith("fail"), action.startswith("load")
    numbers = list(range(int(count)))
    random.Random(int(seed)).shuffle(numbers)
    print("ready", os.getpid(), flush=True)
    for name, node in sorted(run(Path(home), Path(log), numbers).nodes.items()):
        print(name, node.state, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
