"""System calls of a server fail, or kill it, one after another, by strace; nothing is lost or done twice."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from random import Random

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
NOT_LOADED, LOADER_MESSAGE = 127, "error while loading shared libraries"
"""The exit code and the message of the dynamic loader, if it cannot read a library before Python begins."""
ENDS = {
    0: "went on",
    REFUSED: "refused",
    NOT_LOADED: "not loaded",
    -signal.SIGKILL: "killed",
    128 + signal.SIGKILL: "killed",
}
"""How a life may end, by exit code."""
PLACES, SEED = 20, 1
"""How many calls of each kind fail in the full form, one in each life: each call on each file once."""

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def command(life: Life, calls: str, *words: str) -> list[str]:
    """Runs a life under strace."""
    trace = ["strace", "-f", "-qq", "-e", f"trace={calls}", "-o", life.home + ".strace", *words]
    return [*trace, sys.executable, "-m", "tests.engine.queue.one_life", json.dumps(asdict(life))]


def traced(life: Life, calls: str, fault: str, nth: int) -> tuple[int, bool]:
    """The exit code of a life with a fault at the nth of some system calls, and whether it happened."""
    inject = ["-e", f"inject={calls}:{fault}:when={nth}"]
    if not fault.startswith("signal"):  # strace 6.1 injects no signals together with it
        inject.append("--seccomp-bpf")
    done = subprocess.run(
        command(life, calls, *inject), cwd=ROOT, capture_output=True, text=True, check=False
    )
    if "Operation not permitted" in done.stderr and not Path(life.answers).exists():
        pytest.skip(f"strace may not trace here: {done.stderr.strip()}")
    trace = Path(life.home + ".strace").read_text()
    assert "Traceback" not in done.stderr, (fault, nth, done.stderr)
    assert done.returncode != NOT_LOADED or LOADER_MESSAGE in done.stderr, (fault, nth, done.stderr)
    return done.returncode, "(INJECTED)" in trace or done.returncode not in (0, REFUSED)


def sample(calls: str) -> list[int]:
    """Some places of a life, as `when=` of strace counts them: for each call on each file one, and more by
    chance."""
    with quick_folder() as folder:
        life = Life(str(make_home(folder / "home")), str(folder / "answers"), RUNS)
        subprocess.run(command(life, calls, "-y"), cwd=ROOT, capture_output=True, check=True)
        lines = Path(life.home + ".strace").read_text().splitlines()
    passed: Counter[str] = Counter()
    places: dict[tuple[str, str], list[int]] = {}
    for line in lines:
        if (call := re.match(r"(\d+) +(\w+)\(", line)) is None:
            continue
        passed[call[1]] += 1
        file = re.findall(r'[<"]/[^>"]*?([^/>"]*)[>"]', line)[-1]
        site = call[2], re.sub("[0-9a-f]{6,}", "*", file)  # a name may be a digest, or end at random
        places.setdefault(site, []).append(passed[call[1]])
    chance = Random(SEED)
    chosen = {chance.choice(numbers) for numbers in places.values()}
    others = sorted({number for numbers in places.values() for number in numbers} - chosen)
    return sorted([*chosen, *chance.sample(others, min(len(others), max(PLACES - len(chosen), 0)))])


@short_and_full("places", {"killed": [4], "EIO on writes": [], "EIO on reads": []}, None)
def test_a_system_call_that_fails_costs_no_run(
    server: Server, places: dict[str, list[int]] | None, figures: Callable[..., None]
) -> None:
    for name, (calls, fault) in FAULTS.items():
        ends: Counter[str] = Counter()
        for nth in sample(calls) if places is None else places[name]:
            with quick_folder() as folder:
                home, answers = make_home(folder / "home"), folder / "answers"
                life = Life(str(home), str(answers), RUNS)
                code, happened = traced(life, calls, fault, nth)
                if not happened:  # threads share the calls in another way in each life
                    assert places is None, (name, nth)
                    continue
                assert code in ENDS, (name, nth, code)
                ends[ENDS[code]] += 1
                last = server.live(life)
                assert (last.code, last.error) == (0, ""), (name, nth)
                expected = {str(number): chained(number) for number in range(RUNS)}
                assert wrong(home, answered(answers), expected) == [], (name, nth)
        if places is None:
            assert ends.total() > PLACES // 4, name
        if ends:
            figures(fault=name, places=ends.total(), lost=0, duplicated=0, wrong=0, **ends)
