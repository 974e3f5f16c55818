"""A server is killed again and again while it accepts and executes runs; nothing is lost or done twice."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from tests.counts import short_and_full
from tests.engine.queue.killed_server import Death, Life, Server, answered
from tests.engine.queue.queue_history import wrong
from tests.engine.queue.trial_pack import chained, make_home
from tests.engine.store.kept_values import quick_folder

RUNS = 6
LIVES = 6
"""The kills that one home survives, one after another."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="module")
def untroubled(server: Server) -> Death:
    """A life without faults."""
    with quick_folder() as folder:
        home = make_home(folder / "home")
        life = server.live(Life(str(home), str(folder / "answers"), RUNS))
        assert (life.code, life.error) == (0, "")
        assert wrong(home, answered(folder / "answers"), expected()) == []
        return life


def expected() -> dict[str, bytes]:
    return {str(number): chained(number) for number in range(RUNS)}


@short_and_full("kills", 18, 300)
def test_no_run_is_lost_or_done_twice(
    server: Server, untroubled: Death, kills: int, figures: Callable[..., None]
) -> None:
    deaths = 0
    ready: list[float] = []
    for seed in range(kills // LIVES):
        chance = random.Random(seed)
        with quick_folder() as folder:
            home, answers = make_home(folder / "home"), folder / "answers"
            lives: list[Life] = []
            for lived in range(LIVES):
                # Half the kills are at a failpoint, the others anywhere. Later lives have less to do.
                if chance.random() < 0.5:
                    nth = chance.randint(1, untroubled.passed // (1 + lived))
                    fault = ("*", nth, chance.choice(["kill", "torn"]), seed)
                    life = Life(str(home), str(answers), RUNS, fault=fault)
                else:
                    after = chance.uniform(0, untroubled.seconds / (1 + lived))
                    life = Life(str(home), str(answers), RUNS, after=after)
                lives.append(life)
                death = server.live(life)
                assert death.code in (0, -9), (lives, death)
                deaths += death.killed
            last = server.live(Life(str(home), str(answers), RUNS))
            assert last.code == 0, (lives, last)
            ready.append(last.ready)
            assert wrong(home, answered(answers), expected()) == [], lives
    ready.sort()
    p95 = round(ready[int(0.95 * len(ready))] * 1e3, 1)
    figures(kills=deaths, lost=0, duplicated=0, wrong=0, restart_to_ready_p95_ms=p95)
    assert deaths > kills // 4, "the server was killed"


@short_and_full("step", 5, 1)
@pytest.mark.parametrize("kind", ["EIO", "ENOSPC"])
def test_a_transaction_that_fails_is_repeated(
    server: Server, untroubled: Death, kind: str, step: int
) -> None:
    """Each transaction of a server fails once, for example because the disk is full for a moment."""
    assert untroubled.commits >= 3 * RUNS
    for nth in range(1, untroubled.commits, step):
        with quick_folder() as folder:
            home, answers = make_home(folder / "home"), folder / "answers"
            life = server.live(Life(str(home), str(answers), RUNS, fault=("queue.commit", nth, kind, nth)))
            assert (life.code, life.error) == (0, ""), nth
            assert wrong(home, answered(answers), expected()) == [], nth
