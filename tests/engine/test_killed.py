"""A process that runs a graph is killed at random moments; the next run ends with the same bytes."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

RUN = """
import json, sys, time
from pathlib import Path
from typing import Any

from engine import settings
from engine.context import Context
from engine.graph import Entry, From, Graph, Literal
from engine.node import Node
from engine.registry import Registry
from engine.session import Session
from engine.values import Packed, Part, Value


class Blob(Value):
    def __init__(self, data: bytes) -> None:
        self.data = data

    def pack(self) -> Packed:
        return Packed(self.wire, len(self.data), (Part("data", "application/octet-stream", self.data),))

    @classmethod
    def unpack(cls, meta: Any, parts: Any) -> "Blob":
        return cls(parts["data"])


class Grow(Node):
    seed: int = 0
    blob: Blob | None = None

    def run(self, ctx: Context) -> Blob:
        for _ in ctx.track(4):
            time.sleep(0.001)
        before = self.blob.data if self.blob else b""
        return Blob(before[:30_000] + bytes([self.seed % 251]) * (700 + 900 * self.seed))


graph = Graph()
for n in range(40):
    inputs = {"seed": Literal(n)}
    if n:
        inputs["blob"] = From(f"n{n // 2}", "out")
    graph.nodes[f"n{n}"] = Entry("Grow@1", inputs)
for n in range(20, 40):
    graph.outputs[f"o{n}"] = From(f"n{n}", "out")
said = []
with Session(settings.load(Path(sys.argv[1])), registry=Registry([Grow]), warn=said.append) as session:
    print("begun", flush=True)
    report = session.run(graph)
    reused = sum(node.cache == "disk" for node in report.nodes.values())
    digests = {name: packed.digest for name, packed in report.outputs.items()}
    found = [str(item) for item in session.store.disk.verify()]
print(json.dumps({"state": report.state, "reused": reused, "digests": digests, "said": said, "found": found}))
"""


def start(home: Path) -> subprocess.Popen[str]:
    line = [sys.executable, "-c", RUN, str(home)]
    return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    told: dict[str, Any] = json.loads(out.splitlines()[-1])
    return told


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_killed_at_twenty_random_moments_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    clean = end(start(tmp_path / "clean"))
    assert (clean["state"], clean["reused"]) == ("done", 0)
    chance = random.Random(20)
    kills = reused = homes = 0
    while kills < 20:
        home = tmp_path / f"home{homes}"
        homes += 1
        assert homes < 40, "most runs end before they are killed"
        for _ in range(5):  # from kill to kill less is left to do, so after some the home is finished
            process = start(home)
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            time.sleep(chance.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += process.returncode == -signal.SIGKILL
        told = end(start(home))
        reused += told["reused"]
        assert told["state"] == "done"
        assert told["digests"] == clean["digests"]
        assert told["said"] == []
        assert told["found"] == [], "the store is whole"
    assert reused > 0, "what was finished before a kill is not done twice"
