"""What the first picture costs in a new process, against an earlier commit of Safelight."""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.bench import ROOT, Row, bench, children_cpu, new_home

EARLIER = "c145c80"
"""The commit before the model families; it imported all of diffusers' pipelines."""
ROUNDS = 3
CALL = "import sys; from engine.cli import main; sys.exit(main(sys.argv[1:]))"


@bench
def first_picture() -> Iterator[Row]:
    """The whole process, from start to exit, with an empty home folder; both sides in turn."""
    goal = "<= 0.6 of the peer"
    packed = subprocess.run(["git", "archive", EARLIER], cwd=ROOT, check=False, capture_output=True).stdout
    if not packed:
        yield Row("first picture, new process", 0, "s CPU", goal, False, f"the commit {EARLIER} is not here")
        return
    with tempfile.TemporaryDirectory(prefix="safelight-bench-") as folder:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
        roots = (ROOT, Path(folder))
        for root in roots:
            cpu_of(root)  # compiles the modules
        took: dict[Path, list[float]] = {root: [] for root in roots}
        for _ in range(ROUNDS):
            for root in (*roots, *reversed(roots)):
                took[root].append(cpu_of(root))
    mine, theirs = (statistics.median(seconds) for seconds in took.values())
    yield Row(
        "first picture, new process",
        round(mine, 3),
        "s CPU",
        goal,
        mine <= 0.6 * theirs,
        f"safelight run text_to_image, 4 steps, nothing cached; the peer is commit {EARLIER};"
        f" ABBA, medians of {2 * ROUNDS}",
        peer=round(theirs, 3),
        ratio=round(theirs / mine, 3),
    )


def cpu_of(root: Path) -> float:
    """The CPU seconds in which the sources in a folder draw their first picture."""
    with new_home() as home:
        words = ["run", str(root / "graphs" / "text_to_image.json"), "--home", str(home)]
        words += ["--out", str(home / "out"), "--device", "cpu", "--steps", "4", "--quiet"]
        environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
        before = children_cpu()
        subprocess.run(
            [sys.executable, "-c", CALL, *words], cwd=root, env=environment, check=True, capture_output=True
        )
        assert list((home / "out").iterdir())
        return children_cpu() - before
