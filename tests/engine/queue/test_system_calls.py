"""System calls of a server fail, or kill it, one after another, by strace; nothing is lost or done twice."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import count
from pathlib import Path

import pytest

from tests.counts import short_and_full
from tests.engine.queue.killed_server import ROOT, Life, Server, answered
from tests.engine.queue.one_life import REFUSED
from tests.engine.queue.queue_history import wrong
from tests.engine.queue.trial_pack import chained, make_home
from tests.engine.store.kept_values import quick_folder

RUNS = 2
SYNCS = "fsync,fdatasync,rename,renameat,renameat2"
FAULTS = {
    "killed": (SYNCS, "signal=KILL"),
    "EIO on writes": (f"pwrite64,{SYNCS}", "error=EIO"),
    "EIO on reads": ("pread64", "error=EIO"),
}
"""The system calls, and what happens at one of them. strace counts the calls of each thread."""

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def traced(life: Life, calls: str, fault: str, nth: int) -> tuple[int, bool]:
    """The exit code of a life with a fault at the nth of some system calls, and whether it happened."""
    words = ["strace", "-f", "-qq", "-e", f"trace={calls}", "-o", life.home + ".strace"]
    if not fault.startswith("signal"):  # strace 6.1 injects no signals together with it
        words.append("--seccomp-bpf")
    inject = ["-e", f"inject={calls}:{fault}:when={nth}"]
    run = [sys.executable, "-m", "tests.engine.queue.one_life", json.dumps(asdict(life))]
    done = subprocess.run([*words, *inject, *run], cwd=ROOT, capture_output=True, text=True, check=False)
    if "Operation not permitted" in done.stderr and not Path(life.answers).exists():
        pytest.skip(f"strace may not trace here: {done.stderr.strip()}")
    trace = Path(life.home + ".strace").read_text()
    assert "Traceback" not in done.stderr, (fault, nth, done.stderr)
    return done.returncode, "(INJECTED)" in trace or done.returncode not in (0, REFUSED)


@short_and_full("places", {"killed": [4], "EIO on writes": [], "EIO on reads": []}, None)
def test_a_system_call_that_fails_costs_no_run(
    server: Server, places: dict[str, list[int]] | None, figures: Callable[..., None]
) -> None:
    for name, (calls, fault) in FAULTS.items():
        ends: Counter[str] = Counter()
        for nth in count(1) if places is None else places[name]:
            with quick_folder() as folder:
                home, answers = make_home(folder / "home"), folder / "answers"
                life = Life(str(home), str(answers), RUNS)
                code, happened = traced(life, calls, fault, nth)
                if not happened:
                    assert places is None, (name, nth)
                    break
                assert code in (0, REFUSED, -signal.SIGKILL, 128 + signal.SIGKILL), (name, nth, code)
                ends["killed" if code not in (0, REFUSED) else "refused" if code else "went on"] += 1
                last = server.live(life)
                assert (last.code, last.error) == (0, ""), (name, nth)
                expected = {str(number): chained(number) for number in range(RUNS)}
                assert wrong(home, answered(answers), expected) == [], (name, nth)
        if places is None:
            assert ends.total() > RUNS, name
        if ends:
            figures(fault=name, places=ends.total(), lost=0, duplicated=0, wrong=0, **ends)
