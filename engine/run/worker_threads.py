"""The worker threads of a run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor

from engine.cancel import Cancel
from engine.run.expected_seconds import ExpectedSeconds
from engine.run.schedule import Computed, Job, Outcome, Schedule


class WorkerThreads:
    """Runs ready steps in the calling thread, and also in helper threads while a slow step is running.

    Quick steps run in one thread: Python runs one thread at a time, and switching threads would cost more.

    Args:
        schedule: the steps.
        lock: guards the schedule.
        run_step: runs one step, outside the lock.
        settle: processes the outcome of a step, with the lock held; returns True if `finish` has work left.
        finish: does that work, without the lock.
        unblock: called with the lock held when steps may wait for one another in a cycle; returns False if
            none do.
        cancel: cancels the run after a fault.
        expected: tells which steps are quick, and learns from these.
        pool: provides the helper threads.
        most: how many steps may run at once.
    """

    def __init__(
        self,
        schedule: Schedule,
        lock: threading.Lock,
        run_step: Callable[[Job], Outcome],
        settle: Callable[[Job, Outcome], bool],
        finish: Callable[[Job, Outcome], None],
        unblock: Callable[[], bool],
        cancel: Cancel,
        expected: ExpectedSeconds,
        pool: Executor | None,
        most: int,
    ) -> None:
        self._schedule, self._lock, self._cancel = schedule, lock, cancel
        self._run_step, self._settle, self._finish, self._unblock = run_step, settle, finish, unblock
        self._expected, self._pool, self._most = expected, pool, most
        self._changed = threading.Condition(lock)
        self._busy: set[int] = set()  # the ids of the threads that run a step
        self._slow: set[int] = set()  # those of them that run a slow step, or finish a step
        self._helpers = 0
        self._waiting = self._stopped = False
        self.fault: BaseException | None = None
        """A fault of the engine, or an interrupt (Ctrl-C); no step begins after it."""

    def work(self) -> None:
        """Run steps until every demanded step is settled.

        Raises:
            BaseException: the fault, after the running steps of other threads have ended.
        """
        with self._lock:
            if not self._schedule.unsettled:
                return
        try:
            self._serve(helper=False)
        finally:
            with self._lock:
                while self._busy:
                    self._changed.wait()
        if self.fault is not None and self._schedule.unsettled:
            raise self.fault

    def _serve(self, helper: bool) -> None:
        """Run ready steps: the calling thread until all are settled, a helper while other steps are slow."""
        thread = threading.get_ident()
        finished: tuple[Job, Outcome] | None = None
        seconds = 0.0
        try:
            while True:
                if finished is not None:
                    job, outcome = finished
                    with self._lock:
                        unfinished = self._settle(job, outcome)
                        if isinstance(outcome, Computed) and outcome.result is not None:
                            # A result that was stored meanwhile took `result.seconds` to compute.
                            self._expected.add(job.step, max(seconds, outcome.result.seconds))
                        if _is_unsaved(outcome) or (unfinished and not self._expected.is_quick(job.step)):
                            self._begin_slow(thread)
                        if self._waiting:
                            self._changed.notify_all()
                    if unfinished:
                        self._finish(job, outcome)
                with self._lock:
                    self._busy.discard(thread)
                    self._slow.discard(thread)
                    next_job = self._next(helper)
                    if next_job is None:
                        return
                    self._busy.add(thread)
                    if not self._expected.is_quick(next_job.step):
                        self._begin_slow(thread)
                start = time.perf_counter()
                finished = next_job, self._run_step(next_job)
                seconds = time.perf_counter() - start
        except BaseException as error:
            self.fault = error
            self._stopped = True
            self._cancel.ask()
            if not helper:
                raise
        finally:
            with self._lock:
                self._busy.discard(thread)
                self._slow.discard(thread)
                self._helpers -= helper
                self._changed.notify_all()

    def _next(self, helper: bool) -> Job | None:
        """The next step to run; None if a helper is not needed, or if all steps of the caller are settled."""
        while True:
            if helper and not self._slow:
                return None
            job = None if self._stopped else self._schedule.take()
            if job is not None or helper:
                return job
            if self._busy:
                self._waiting = True
                self._changed.wait()
                self._waiting = False
            elif self._stopped or not self._unblock():
                return None

    def _begin_slow(self, thread: int) -> None:
        """Note that a thread will be busy for some time, and start a helper if there is work for one."""
        self._slow.add(thread)
        if self._pool is None or self._helpers >= self._most - 1 or not self._schedule.has_ready:
            return
        self._helpers += 1
        try:
            self._pool.submit(self._serve, helper=True)
        except RuntimeError:  # the system cannot start more threads, or the session was closed
            self._most = self._helpers


def _is_unsaved(outcome: Outcome) -> bool:
    """True if the thread saves a result before it takes another step."""
    return isinstance(outcome, Computed) and outcome.save is not None
