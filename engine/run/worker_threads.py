"""The worker threads of a run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor

from engine.cancel import Cancel
from engine.run.schedule import Computed, Job, Outcome, Schedule

QUICK_SECONDS = 0.004
"""Shorter steps run in one thread: Python runs one thread at a time, and switching threads would cost
more."""


class WorkerThreads:
    """Runs ready steps in the calling thread, and also in helper threads while steps are slow.

    A helper waits until no step was settled for `QUICK_SECONDS`, and then takes a ready step; or at once, if
    the thread that started it has a result to save.

    Args:
        schedule: the steps.
        lock: guards the schedule.
        run_step: runs one step, outside the lock.
        settle: processes the outcome of a step, with the lock held.
        settled: called after `settle`, without the lock.
        unblock: called with the lock held when steps may wait for one another in a cycle; returns False if
            none do.
        cancel: cancels the run after a fault.
        pool: provides the helper threads.
        most: how many steps may run at once.
    """

    def __init__(
        self,
        schedule: Schedule,
        lock: threading.Lock,
        run_step: Callable[[Job], Outcome],
        settle: Callable[[Job, Outcome], None],
        settled: Callable[[Job, Outcome], None],
        unblock: Callable[[], bool],
        cancel: Cancel,
        pool: Executor | None,
        most: int,
    ) -> None:
        self._schedule, self._lock, self._cancel = schedule, lock, cancel
        self._run_step, self._settle, self._settled, self._unblock = run_step, settle, settled, unblock
        self._pool, self._most = pool, most
        self._changed = threading.Condition(lock)
        self._busy: set[int] = set()  # the ids of the threads that run a step
        self._helpers = 0
        self._on_call = False  # a helper is waiting for a slow step
        self._settled_steps = 0
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

    def _serve(self, helper: bool, quick: bool = True) -> None:
        """Run ready steps: a helper until no step is ready, the calling thread until all are settled.

        Args:
            helper: True for a helper.
            quick: True if the helper first waits for a slow step.
        """
        thread = threading.get_ident()
        finished: tuple[Job, Outcome] | None = None
        try:
            while True:
                if finished is not None:
                    with self._lock:
                        self._settle(*finished)
                        self._settled_steps += 1
                        if self._waiting:
                            self._changed.notify_all()
                        elif _is_unsaved(finished[1]) and self._schedule.has_ready:
                            self._add_helper(at_once=True)
                    self._settled(*finished)
                with self._lock:
                    self._busy.discard(thread)
                    if helper and quick:
                        self._await_slow_step()
                    job = self._next(helper)
                    if job is None:
                        return
                    self._busy.add(thread)
                    if self._schedule.has_ready:
                        self._add_helper()
                start = time.perf_counter()
                finished = job, self._run_step(job)
                quick = time.perf_counter() - start < QUICK_SECONDS
        except BaseException as error:
            self.fault = error
            self._stopped = True
            self._cancel.ask()
            if not helper:
                raise
        finally:
            with self._lock:
                self._busy.discard(thread)
                self._helpers -= helper
                self._changed.notify_all()

    def _next(self, helper: bool) -> Job | None:
        """The next step to run; None for a helper if none is ready, and for the caller if all are settled."""
        while True:
            job = None if self._stopped else self._schedule.take()
            if job is not None or helper:
                return job
            if self._busy:
                self._waiting = True
                self._changed.wait()
                self._waiting = False
            elif self._stopped or not self._unblock():
                return None

    def _await_slow_step(self) -> None:
        """Wait until no step was settled for `QUICK_SECONDS`, or until no step is ready."""
        self._on_call = True
        before = -1
        while before != self._settled_steps and self._schedule.has_ready and not self._stopped:
            before = self._settled_steps
            self._changed.wait(QUICK_SECONDS)
        self._on_call = False

    def _add_helper(self, at_once: bool = False) -> None:
        """Start a helper, if there may be one more; `at_once` if it does not wait for a slow step."""
        if self._pool is None or self._helpers >= self._most - 1 or (self._on_call and not at_once):
            return
        self._helpers += 1
        if not at_once:
            self._on_call = True
        try:
            self._pool.submit(self._serve, helper=True, quick=not at_once)
        except RuntimeError:  # the system cannot start more threads, or the session was closed
            self._most = self._helpers


def _is_unsaved(outcome: Outcome) -> bool:
    """True if the thread saves a result before it takes another step."""
    return isinstance(outcome, Computed) and outcome.save is not None
