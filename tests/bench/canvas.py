"""The canvas in a browser: opening, dragging a node of a thousand, and the first picture.

`ui/e2e/canvas.bench.ts` measures; it needs a Chromium or Chrome, and the built page.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.bench import ROOT, Row, bench

REPORTED = "reported"
"""The goal of a figure that has none."""

ROWS: list[tuple[str, str, str, float | None, str]] = [
    ("open", "the canvas, from opening to ready", "s", None, "text to image; median of 3"),
    ("open 1,000 nodes", "1,000 nodes, from opening to ready", "s", 5, "1,326 wires; median of 3"),
    ("elements", "1,000 nodes, elements of the page", "elements", 2000, "at zoom 1"),
    ("drag p95", "1,000 nodes, a drag, p95 of the frames", "ms", 50, "at zoom 1; 3 drags of 60 moves"),
    ("renders", "1,000 nodes, nodes rendered by an event", "nodes", 1, "progress of a run; all nodes drawn"),
    ("preview, warm", "key press to the first preview", "s", 1, "text to image, first run of a warm worker"),
    ("picture, warm", "key press to the picture", "s", 5, "the same run"),
    (
        "computing, warm",
        "key press to the picture, computing",
        "s CPU",
        5,
        "the same run; the worker process",
    ),
    ("preview, cold", "key press to the first preview, cold", "s", None, "the server has just started"),
    ("picture, cold", "key press to the picture, cold", "s", None, "the same run"),
    ("computing, cold", "key press to the picture, cold, computing", "s CPU", None, "the same run"),
]
"""The name of each figure, that of its row, its unit, its goal if it has one, and its conditions."""


@bench
def canvas() -> Iterator[Row]:
    """One browser with software rendering, and servers with empty home folders."""
    figures, said = measured()
    for figure, name, unit, most, conditions in ROWS:
        value = figures.get(figure)
        goal = REPORTED if most is None else f"<= {most:g}"
        if value is None:
            yield Row(name, 0, unit, goal, False, f"not measured: {said}")
        else:
            yield Row(name, round(value, 2), unit, goal, most is None or value <= most, conditions)


def measured() -> tuple[dict[str, float], str]:
    """The figures by name, and the last line that the measurement printed."""
    with tempfile.TemporaryDirectory(prefix="safelight-bench-") as folder:
        file = Path(folder) / "figures"
        ended = subprocess.run(
            [ROOT / "ui" / "node.sh", "npm", "run", "--silent", "bench"],
            cwd=ROOT,
            env={**os.environ, "SAFELIGHT_FIGURES": str(file)},
            capture_output=True,
            text=True,
            check=False,
        )
        lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    said = (ended.stdout + ended.stderr).strip().splitlines()
    return {name: value for name, value in map(json.loads, lines)}, said[-1] if said else "nothing was said"
