"""Runs are killed at any moment; the next run ends with the same bytes, and nothing is lost."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.failpoints import Fault
from tests.counts import short_and_full
from tests.engine.store.kept_values import quick_folder
from tests.faults.forks import SIDE_BY_SIDE, Ended, Forks
from tests.faults.home import committed, illegal, strays, wrong_outputs
from tests.faults.work import Job, expected, furnish, values

SIZE = 20
A_HOME = 6
"""Kills that one home survives, one after another."""


@pytest.fixture
def place() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder


@pytest.fixture
def untroubled(forks: Forks, place: Path) -> Ended:
    """What a run is when nothing happens to it."""
    (ended,) = forks.run(Job(str(furnish(place / "untroubled")), 0, SIZE))
    assert_good(ended, 0)
    assert ended.report["reused"] == 0
    shutil.rmtree(place / "untroubled")
    return ended


def assert_good(ended: Ended, salt: int, why: object = None) -> None:
    """A run is done, with the right values, and the store is whole."""
    report = ended.report
    assert not ended.hung, why
    assert "error" not in report, (why, report["error"])
    assert (report["state"], report["warnings"], report["unwritten"]) == ("done", [], []), why
    assert report["values"] == values(SIZE, salt, expected(SIZE, salt)), why
    assert (report.get("damaged", []), report["missing"]) == ([], []), why


def killed(home: Path, salt: int, untroubled: Ended) -> Job:
    """A run that is killed: half of them at a site of our own code, the others at any moment."""
    chance = random.Random(salt)
    sites, moments = len(untroubled.report["sites"]), untroubled.report["seconds"]
    if chance.random() < 0.5:
        return Job(str(home), salt, SIZE, kill_after=chance.uniform(0, moments), verify=False)
    fault = Fault("*", chance.randrange(1, sites + 1), chance.choice(["kill", "torn"]), salt)
    return Job(str(home), salt, SIZE, faults=(fault,), verify=False)


@short_and_full("number", 60, 300)
def test_after_kills_nothing_is_lost_duplicated_or_different(
    number: int, forks: Forks, place: Path, untroubled: Ended, figures: Callable[..., None]
) -> None:
    wrong: Counter[str] = Counter(lost=0, duplicated=0, mismatched=0)
    ready: list[float] = []
    kills = reused = half_done = seed = 0
    while kills < number:
        homes = [furnish(place / f"{seed} {n}") for n in range(SIDE_BY_SIDE)]
        salts = range(seed, seed + SIDE_BY_SIDE * A_HOME, SIDE_BY_SIDE)
        for salt in salts:
            jobs = [killed(home, salt + n, untroubled) for n, home in enumerate(homes)]
            for job, ended in zip(jobs, forks.run(*jobs), strict=True):
                assert "error" not in ended.report, (job, ended.report)
                kills += ended.killed
            last = salt == salts[-1]
            after = [
                Job(job.home, job.salt, SIZE, keys=tuple(committed(Path(job.home))), verify=last)
                for job in jobs
            ]
            for job, ended in zip(jobs, forks.run(*after), strict=True):
                assert_good(ended, job.salt, job)
                ready.append(ended.report["ready"])
                reused += ended.report["reused"]
                half_done += 0 < ended.report["reused"] < SIZE
        for n, home in enumerate(homes):
            wrong += Counter(wrong_outputs(home, SIZE, *(salt + n for salt in salts)))
            assert illegal(home) == [], salts
            assert [path for path in strays(home) if not path.startswith("outputs")] == [], salts
            shutil.rmtree(home)
        seed += SIDE_BY_SIDE * A_HOME
        assert seed < 3 * number, "most runs end before they are killed"
    ready.sort()
    figures(
        kills=kills,
        **{name: wrong[name] for name in ("lost", "duplicated", "mismatched")},
        steps_not_done_again=reused,
        restart_to_ready_p95_ms=round(ready[int(0.95 * len(ready))] * 1e3, 1),
    )
    assert +wrong == Counter()
    assert half_done > number / 10, "some kills fall between the commits of a run"


@short_and_full("rounds", 10, 30)
def test_two_processes_at_once_are_killed_in_one_home(
    rounds: int, forks: Forks, place: Path, untroubled: Ended, figures: Callable[..., None]
) -> None:
    kills = 0
    homes = [furnish(place / str(n)) for n in range(2)]
    longest = 2 * untroubled.report["seconds"]
    for salt in range(1, rounds + 1):
        jobs = [
            Job(
                str(home), salt, SIZE, kill_after=random.Random(f"{salt} {n} {home.name}").uniform(0, longest)
            )
            for home in homes
            for n in range(2)
        ]
        for ended in forks.run(*jobs):
            kills += ended.killed
            if not ended.killed:  # the death of the other process does not affect it
                assert_good(ended, salt)
        for ended in forks.run(*(Job(str(home), salt, SIZE) for home in homes)):
            assert_good(ended, salt)
    for home in homes:
        assert illegal(home) == []
        assert [path for path in strays(home) if not path.startswith("outputs")] == []
        report = wrong_outputs(home, SIZE, *range(1, rounds + 1))
        figures(kills=kills, **report)
        assert report["lost"] == report["mismatched"] == 0
    assert kills > rounds
