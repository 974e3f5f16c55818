"""What two runs need at once is computed once."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import Cancelled
from engine.explain.reasons import JUST_COMPUTED
from engine.run import step_locks
from engine.run.report import Report
from engine.run.step_locks import StepLocks
from tests.engine.run import lock_taker
from tests.engine.run.lock_taker import Slow, graph, run, session
from tests.engine.store.kept_values import key, wait_until

ROOT = Path(__file__).parents[3]


def never() -> None:
    pass


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.touch()
    return path


def computed(log: Path) -> Counter[int]:
    return Counter(map(int, log.read_text().split()))


def start(home: Path, log: Path, action: str, count: int = 1, seed: int = 0) -> subprocess.Popen[str]:
    module = lock_taker.__name__
    command = [sys.executable, "-m", module, str(home), str(log), action, str(count), str(seed)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def states(child: subprocess.Popen[str]) -> Counter[str]:
    said = child.communicate(timeout=60)[0].splitlines()
    assert child.returncode == 0
    return Counter(line.split()[1] for line in said[1:])


def together(*work: Callable[[], Report]) -> list[Report]:
    """What each of them comes to, all begun at once in threads."""
    reports: list[Report] = []
    threads = [threading.Thread(target=lambda each=each: reports.append(each())) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return reports


def test_two_sessions_in_two_threads(tmp_path: Path, log: Path) -> None:
    reports = together(*[lambda: run(tmp_path / "home", log, [3])] * 2)
    assert computed(log) == {3: 1}
    assert {report.nodes["n3"].state for report in reports} == {"done", "cached"}


def test_two_runs_of_one_session(tmp_path: Path, log: Path) -> None:
    with session(tmp_path / "home") as ours:
        reports = together(*[lambda: ours.run(graph(log, [3]))] * 2)
    assert computed(log) == {3: 1}
    assert {report.nodes["n3"].state for report in reports} == {"done", "cached"}


def test_two_processes(tmp_path: Path, log: Path) -> None:
    children = [start(tmp_path / "home", log, "0.3") for _ in range(2)]
    assert states(children[0]) + states(children[1]) == {"done": 1, "cached": 1}
    assert computed(log) == {0: 1}


def test_results_saved_between_plan_and_run_are_reused(tmp_path: Path, log: Path) -> None:
    with session(tmp_path / "home") as ours:
        planned = ours.plan(graph(log, [0]))
        assert planned.steps["n0"].action == "run"
        assert states(start(tmp_path / "home", log, "0.05")) == {"done": 1}
        assert ours.run_plan(planned).nodes["n0"].state == "cached"
    assert computed(log) == {0: 1}


def test_a_plan_that_was_not_the_last_one_is_as_good(tmp_path: Path, log: Path) -> None:
    with session(tmp_path / "home") as ours:
        planned = ours.plan(graph(log, [0]))
        assert states(start(tmp_path / "home", log, "0.05")) == {"done": 1}
        ours.plan(graph(log, [1]))
        assert ours.run_plan(planned).nodes["n0"].state == "cached"
    assert computed(log) == {0: 1}


def test_a_step_that_is_expected_to_be_quick_takes_no_lock(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    take = StepLocks.take

    def counted(locks: StepLocks, key: str, check: Callable[[], None], step: str = "") -> bool:
        taken.append(step)
        return take(locks, key, check, step)

    monkeypatch.setattr(StepLocks, "take", counted)
    monkeypatch.setattr(Slow, "seconds", 0.0)
    with session(tmp_path / "home") as ours:
        monkeypatch.setattr(ours._expected, "is_quick", lambda step: step.id != "n1")
        report = ours.run(graph(log, [0, 1, 2]))
    assert report.state == "done"
    assert taken == ["n1"]


def test_when_the_holder_is_killed_the_waiter_computes(tmp_path: Path, log: Path) -> None:
    holder = start(tmp_path / "home", log, "60")
    wait_until(lambda: computed(log)[0] == 1)
    waiter = start(tmp_path / "home", log, "0.05")
    assert waiter.stdout is not None
    assert waiter.stdout.readline().startswith("ready")
    time.sleep(0.5)  # it waits now, most likely; if not, the end is the same
    assert computed(log) == {0: 1}
    holder.kill()
    holder.communicate()
    assert waiter.communicate(timeout=60)[0] == "n0 done\n"
    assert computed(log) == {0: 2}


def test_when_the_holder_fails_the_waiter_computes(tmp_path: Path, log: Path) -> None:
    holder = start(tmp_path / "home", log, "fail1")
    wait_until(lambda: computed(log)[0] == 1)
    waiter = start(tmp_path / "home", log, "0.05")
    assert states(holder) == {"failed": 1}
    assert states(waiter) == {"done": 1}
    assert computed(log) == {0: 2}


def test_waiting_for_a_step_lock_can_be_cancelled(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Slow, "seconds", 60.0)
    holder = start(tmp_path / "home", log, "60")
    wait_until(lambda: computed(log)[0] == 1)
    ended: list[tuple[Report, float]] = []
    with session(tmp_path / "home") as ours:
        waiting = threading.Thread(
            target=lambda: ended.append((ours.run(graph(log, [0])), time.perf_counter()))
        )
        waiting.start()
        time.sleep(0.3)
        asked = time.perf_counter()
        ours.cancel()
        waiting.join()
    holder.kill()
    holder.communicate()
    [(report, end)] = ended
    assert report.nodes["n0"].state == "cancelled"
    assert end - asked < 5  # seconds, where the other one takes sixty; alone it is 0.02
    assert computed(log) == {0: 1}


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="only Linux tells who holds a lock")
@pytest.mark.parametrize("holder_is", ["stopped", "at work", "loading"])
def test_a_process_that_keeps_a_lock_and_does_nothing_is_named(
    holder_is: str, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_locks, "STALLED_SECONDS", 0.5)
    seconds = "load3" if holder_is == "loading" else "4"  # in a hundred pieces, unless it loads
    holder = start(tmp_path / "home", log, seconds)
    wait_until(lambda: computed(log)[0] == 1)
    if holder_is == "stopped":
        holder.send_signal(signal.SIGSTOP)
        time.sleep(0.6)
    warnings: list[str] = []
    with session(tmp_path / "home", warnings.append) as ours:
        reports: list[Report] = []
        waiting = threading.Thread(target=lambda: reports.append(ours.run(graph(log, [0]), write=False)))
        waiting.start()
        time.sleep(2)
        if holder_is == "stopped":
            holder.send_signal(signal.SIGCONT)
        waiting.join()
    holder.communicate()
    assert computed(log) == {0: 1}
    assert (reports[0].nodes["n0"].state, reports[0].nodes["n0"].reason) == ("cached", JUST_COMPUTED)
    assert [f"n0 waits for process {holder.pid}" in warning for warning in warnings] == (
        [True] if holder_is == "stopped" else []
    )


def test_fifty_keys_under_four_processes_in_any_order(tmp_path: Path, log: Path) -> None:
    children = [start(tmp_path / "home", log, "0.03", 50, seed) for seed in range(4)]
    fared = [states(child) for child in children]
    assert all(set(each) <= {"done", "cached"} and each.total() == 50 for each in fared)
    assert sum(each["done"] for each in fared) == 50
    assert computed(log) == {n: 1 for n in range(50)}


def test_a_claim_is_for_one_key(tmp_path: Path) -> None:
    mine, other = (StepLocks(tmp_path, pytest.fail) for _ in range(2))
    assert not mine.take(key(1), never)
    assert not other.take(key(2), never)

    def enough() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        other.take(key(1), enough)
    mine.release(key(1))
    assert not other.take(key(1), enough)
    for n in (1, 2):
        other.release(key(n))
    mine.close()
    other.close()


def test_a_process_ignores_its_own_announcements(tmp_path: Path) -> None:
    mine, other = (StepLocks(tmp_path, pytest.fail) for _ in range(2))
    seen = mine.last_announcement()
    seen = mine.announce(seen) or b""
    assert mine.last_announcement() == seen
    other.announce(other.last_announcement())
    assert mine.last_announcement() != seen
    assert mine.announce(seen) == seen != mine.last_announcement()  # one's own do not hide those of others
    mine.close()
    other.close()


def test_an_announcement_that_cannot_be_read_counts_as_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks = StepLocks(tmp_path, pytest.fail)
    seen = locks.last_announcement()

    def broken(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", broken)
    assert locks.last_announcement() != seen
    assert locks.announce(seen) == seen
    monkeypatch.undo()
    assert locks.last_announcement() == seen
    locks.close()


def test_the_locks_outlive_whoever_else_of_the_process_used_the_folder(tmp_path: Path) -> None:
    mine = StepLocks(tmp_path, pytest.fail)
    mine.take(key(1), never)
    StepLocks(tmp_path, pytest.fail).close()
    (tmp_path / "linked").symlink_to(tmp_path)
    StepLocks(tmp_path / "linked", pytest.fail).close()
    locked = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB, 0, 8)"
    ask = [sys.executable, "-c", locked, str(tmp_path / "step_locks")]
    assert subprocess.run(ask, check=False).returncode == 1
    mine.release(key(1))
    assert subprocess.run(ask, check=False).returncode == 0
    mine.close()


@pytest.mark.parametrize("harm", ["no folder", "no locks", "no system"])
def test_without_a_lock_file_threads_still_lock_steps(
    harm: str, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    folder: Path = tmp_path / "store"
    if harm == "no folder":
        folder.write_text("in the way")
    elif harm == "no system":
        monkeypatch.setattr("engine.run.step_locks.fcntl", None)
    else:

        def refused(*_: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "lockf", refused)
    locks = StepLocks(folder, warnings.append)
    order: list[str] = []
    assert not locks.take(key(1), never)

    def second() -> None:
        assert locks.take(key(1), never)
        order.append("second")
        locks.release(key(1))

    thread = threading.Thread(target=second)
    thread.start()
    time.sleep(0.05)
    order.append("first")
    seen = locks.last_announcement()
    locks.announce(None)
    assert locks.last_announcement() != seen
    locks.release(key(1))
    thread.join()
    assert order == ["first", "second"]
    assert not locks.take(key(2), never)
    locks.release(key(2))
    assert len(warnings) == (harm != "no system")
    locks.close()


def test_a_thread_announces_although_another_one_just_found_that_the_file_cannot_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    locks = StepLocks(tmp_path, warnings.append)
    lockf = fcntl.lockf

    def meanwhile(*arguments: int) -> None:
        monkeypatch.setattr(fcntl, "lockf", refused)
        thread = threading.Thread(target=locks.take, args=(key(1), never))
        thread.start()
        thread.join()
        monkeypatch.setattr(fcntl, "lockf", lockf)
        lockf(*arguments)

    def refused(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fcntl, "lockf", meanwhile)
    assert locks.announce(locks.last_announcement()) is not None
    assert len(warnings) == 1
    locks.release(key(1))
    locks.close()
