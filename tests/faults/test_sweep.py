"""One call of each kind fails in a run: the first, then a later one, until a run ends before the call.

The short form tries every fourth call.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from engine.failpoints import QUEUE_SITES, SITES, Fault, Kind
from engine.whole_file import STALE_SECONDS
from tests.counts import short_and_full
from tests.engine.store.kept_values import folder_bytes, quick_folder
from tests.faults.forks import Ended, Forks
from tests.faults.home import illegal, strays, wrong_outputs
from tests.faults.work import Job, expected, furnish, values

SIZE = 10
BUDGET = 300_000
"""Bytes; so few that the second run has to evict what the first one made."""

WRITES = {"blob.write", "journal.write", "file.write", "step_lock.announce"}
"""Where bytes are written that a kill may cut in two."""


@pytest.fixture(scope="module")
def used(forks: Forks) -> Iterator[Path]:
    """A home in which a run has been."""
    with quick_folder() as folder:
        home = furnish(folder / "used")
        (ended,) = forks.run(Job(str(home), 0, SIZE, budget=BUDGET))
        assert ended.report["state"] == "done"
        yield home


def assert_right(ended: Ended, why: object) -> None:
    """Nothing escaped the run, and what it says is right, whatever it could not keep or write."""
    report = ended.report
    assert not ended.hung, why
    assert "error" not in report, (why, report["error"])
    state = "failed" if report["unwritten"] else "done"  # every node is done all the same
    assert (report["state"], report["problems"]) == (state, []), why
    assert report["values"] == values(SIZE, 1, report["outputs"]), why
    assert bool(report["unwritten"]) == (len(report["outputs"]) < len(expected(SIZE, 1))), why


def run_and_run_again(forks: Forks, used: Path, faults: Sequence[tuple[Fault, ...]]) -> list[Ended]:
    """Run with each of these faults, in homes of their own; afterwards a run without any sets all right."""
    homes = [used.parent / repr(each[0]) for each in faults]
    for home in homes:
        shutil.copytree(used, home)
    jobs = [Job(str(home), 1, SIZE, faults=each) for home, each in zip(homes, faults, strict=True)]
    hurt = forks.each(
        [
            replace(
                job,
                budget=BUDGET,
                commit_after=0.001,
                flush_seconds=0.0 if job.faults[0].site.startswith("step_lock.") else 0.02,
            )
            for job in jobs
        ]
    )
    for job, ended in zip(jobs, hurt, strict=True):
        if ended.killed:
            assert job.faults[0].kind in ("kill", "torn"), job.faults[0]
        else:
            assert_right(ended, job.faults[0])
    healed = forks.each([replace(job, budget=BUDGET, faults=()) for job in jobs])
    for job, home, ended in zip(jobs, homes, healed, strict=True):
        why = job.faults[0]
        assert_right(ended, why)
        assert (ended.report["warnings"], ended.report["unwritten"], ended.report["damaged"]) == (
            [],
            [],
            [],
        ), why
        wrong = wrong_outputs(home, SIZE, 0, 1)
        assert wrong == {"lost": 0, "duplicated": 0, "mismatched": 0}, why
        assert illegal(home) == [], why
        assert [path for path in strays(home) if not path.startswith("outputs")] == [], why
        beside = folder_bytes(home / "store" / "journal") + 20_000  # the digests of files, too
        assert folder_bytes(home / "store") <= BUDGET + beside, why
        shutil.rmtree(home)
    return hurt


@short_and_full("stride", 4, 1)
@pytest.mark.parametrize("kind", ["kill", "torn", "EIO", "ENOSPC"])
def test_a_fault_at_each_pass_of_each_site(
    kind: Kind, stride: int, used: Path, forks: Forks, figures: Callable[..., None]
) -> None:
    sites = WRITES if kind == "torn" else set(SITES) - {"node.run", *QUEUE_SITES}
    ahead = set(sites)
    passings: Counter[str] = Counter()
    warned = 0
    for nth in itertools.count(1, stride):
        faults = [Fault(site, nth, kind, nth) for site in sorted(ahead)]
        for fault, ended in zip(
            faults, run_and_run_again(forks, used, [(fault,) for fault in faults]), strict=True
        ):
            if ended.killed or (ended.report["sites"].count(fault.site) >= nth and kind in ("EIO", "ENOSPC")):
                passings[fault.site] += 1
                warned += bool(ended.report and (ended.report["warnings"] or ended.report["unwritten"]))
            else:
                ahead.remove(fault.site)
        if not ahead:
            break
    figures(kind=kind, faults=passings.total(), said=warned)
    assert passings.keys() == sites, "every site was passed"
    assert kind in ("kill", "torn") or warned > passings.total() / 3, "what cannot be kept is said"


@pytest.mark.parametrize("kind", ["EIO", "ENOSPC"])
def test_from_one_moment_on_nothing_works(
    kind: Kind, used: Path, forks: Forks, figures: Callable[..., None]
) -> None:
    faults = [
        tuple(Fault("*", n, kind, first) for n in range(first, first + 500)) for first in range(1, 80, 4)
    ]
    hurt = run_and_run_again(forks, used, faults)
    warned = [len(ended.report["warnings"]) for ended in hurt]
    figures(kind=kind, moments=len(faults), most_warnings=max(warned))
    assert max(warned) <= 4, "of the store, the journal and the copies of files, each once"
    assert warned[0] > 0


def test_a_killed_process_leaves_no_half_files_among_the_outputs_for_long(used: Path, forks: Forks) -> None:
    home = used.parent / "half"
    shutil.copytree(used, home)

    def half_files() -> list[str]:
        return [path for path in strays(home) if path.startswith("outputs")]

    (ended,) = forks.run(Job(str(home), 1, SIZE, faults=(Fault("file.write", 1, "torn"),)))
    assert ended.killed
    (draft,) = half_files()
    forks.run(Job(str(home), 2, SIZE))
    assert half_files() == [draft], "it may belong to a process that is writing it right now"
    past = time.time() - STALE_SECONDS - 1
    os.utime(home / draft, (past, past))
    forks.run(Job(str(home), 3, SIZE))
    assert half_files() == []
