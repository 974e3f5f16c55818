"""What the first picture costs in a new process, against an earlier commit of Safelight."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench.bench import ROOT, Row, bench, children_cpu, new_home
from tests.bench.earlier import EARLIER, earlier_sources

ROUNDS = 3
CALL = "import sys; sys.modules.update(dict.fromkeys({hidden})); from {module} import main; sys.exit(main())"
HIDDEN = ("accelerate", "peft")
"""Libraries that only developers have; diffusers imports them where they are installed."""


@bench
def first_picture() -> Iterator[Row]:
    """The whole process, from start to exit, with an empty home folder; both sides in turn."""
    goal = "<= 0.6 of the peer"
    with earlier_sources() as earlier:
        if earlier is None:
            yield Row(
                "first picture, new process", 0, "s CPU", goal, False, f"the commit {EARLIER} is not here"
            )
            return
        roots = (ROOT, earlier)
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
        f"safelight run text_to_image, 4 steps, nothing cached, without the libraries that only developers"
        f" have; the peer is commit {EARLIER};"
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
        module = "engine.__main__" if (root / "engine" / "__main__.py").exists() else "engine.cli"
        call = CALL.format(hidden=HIDDEN, module=module)  # as the command `safelight` does
        subprocess.run(
            [sys.executable, "-c", call, *words], cwd=root, env=environment, check=True, capture_output=True
        )
        assert list((home / "out").iterdir())
        return children_cpu() - before
