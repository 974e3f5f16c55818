"""Peak memory of drawing one picture in a fresh process, against diffusers' own pipeline."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator

from tests.bench.bench import ROOT, Row, bench

OURS = """
import torch
torch.set_num_threads(1)
from tests.bench import text_to_image as t
from tests.bench.bench import new_home, peak_memory
with new_home() as home:
    place = t.settings.load(home, device="cpu", dtype="float32", checked=False)
    with t.Session(place) as session:
        t.ours(session)("a blue star", 3, "pil")
print(peak_memory())
"""

BARE = """
import torch
torch.set_num_threads(1)
from tests.bench import text_to_image as t
from tests.bench.bench import peak_memory
t.bare()("a blue star", 3, "pil")
print(peak_memory())
"""


def peak(script: str) -> float:
    """The peak resident set of a process, in MiB."""
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return float(ended.stdout.split()[-1])


@bench
def memory() -> Iterator[Row]:
    """Both sides three times, in turn; medians."""
    peaks: dict[str, list[float]] = {OURS: [], BARE: []}
    for _ in range(3):
        for script, found in peaks.items():
            found.append(peak(script))
    mine, theirs = (statistics.median(found) for found in peaks.values())
    yield Row(
        "peak memory, text to image",
        round(mine, 1),
        "MiB RSS",
        "<= 1.05 of the peer",
        mine <= 1.05 * theirs,
        "safelight-tiny, one picture, fresh process, medians of 3",
        peer=round(theirs, 1),
        ratio=round(theirs / mine, 3),
    )
