"""What `safelight run` costs in a new process when the picture is there already."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

from tests.bench.bench import GRAPH, ROOT, Row, bench, children_cpu, new_home

CALL = (
    "import sys; from engine.cli import main; code = main(sys.argv[1:]); "
    "print('torch' in sys.modules, 'diffusers' in sys.modules, code, file=sys.stderr)"
)


@bench
def new_process() -> Iterator[Row]:
    """The whole process, from start to exit; the median of several."""
    with new_home() as home:
        words = ["run", str(GRAPH), "--home", str(home), "--out", str(home / "out"), "--device", "cpu"]
        line = [sys.executable, "-c", CALL, *words, "--steps", "4", "--quiet"]
        # With it, every file that was edited since is compiled anew by each process.
        environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        subprocess.run(line, cwd=ROOT, env=environment, check=True, capture_output=True)
        cpu = []
        for _ in range(7):
            before = children_cpu()
            ended = subprocess.run(
                line, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
            )
            cpu.append(children_cpu() - before)
            said = ended.stderr.splitlines()[-1]
            assert said == "False False 0", said
    middle = sorted(cpu)[len(cpu) // 2]
    yield Row(
        "cached text to image, new process",
        round(middle, 3),
        "s CPU",
        "<= 0.6",
        middle <= 0.6,
        "safelight run, all of it answered from disk, torch and diffusers never imported; median of 7",
    )
