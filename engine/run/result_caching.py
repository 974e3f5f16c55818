"""The lifecycle that takes results from the store and saves computed results there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from threading import Lock

from engine.plan.step import Step
from engine.run.expected_seconds import ExpectedSeconds
from engine.run.lifecycle import Lifecycle
from engine.run.step_locks import StepLocks
from engine.store.store import Result, Store

FLUSH_SECONDS = 0.02
"""Results slower than this are flushed to disk before the lock is released, so that waiting processes can
reuse them."""


class ResultCaching(Lifecycle):
    """A lifecycle that looks up a step's result in the store before the step runs, and saves it afterwards.

    If another run is computing the same step, the step waits for that run and takes its result. Quick steps
    do not: computing them twice costs less than locking them.

    Args:
        store: holds the results.
        locks: the locks on the keys of this store.
        expected: tells which steps are quick.
        check: called while a step waits for a lock. An exception that it raises ends the wait.
        seen: the `last_announcement` of the locks when the plan looked into the store.
    """

    def __init__(
        self,
        store: Store,
        locks: StepLocks | None = None,
        expected: ExpectedSeconds | None = None,
        check: Callable[[], None] = lambda: None,
        seen: bytes | None = None,
    ) -> None:
        self._store, self._locks, self._check, self._seen = store, locks, check, seen
        self._expected = expected or ExpectedSeconds()
        self._announcing = Lock()
        self._found: list[str] = []  # the node type of each
        self._locked: set[str] = set()

    def setup(self, step: Step, inputs: Mapping[str, object]) -> Result | None:
        """Lock the key; return the stored result if the plan did not look for it, or if another run has saved
        it since."""
        key = step.key
        if key is None or not step.storable:
            return None
        locks = self._locks
        if locks is None or self._expected.is_quick(step):
            return self._load(step, key) if step.key_unknown else None
        waited = locks.take(key, self._check, step.id)
        self._locked.add(key)
        try:
            if not (waited or step.key_unknown or locks.last_announcement() != self._seen):
                return None
            result = self._load(step, key)
        except BaseException:
            self._unlock(key)
            raise
        if result is not None:
            self._unlock(key)
        return result

    def _load(self, step: Step, key: str) -> Result | None:
        result = self._store.load(key)
        if result is not None:
            self._found.append(step.bound.type.id)
        return result

    def hits(self, steps: Iterable[Step]) -> Counter[str]:
        """Count the results of each node type that the run took from the store.

        Args:
            steps: the steps of the plan.
        """
        reused = [step.bound.type.id for step in steps if step.action == "reuse"]
        return Counter(self._found + reused)

    def finish(self, step: Step, result: Result | None) -> None:
        """Save the result, and unlock the key.

        A step that was storable when it began may not be any more: see `Context.approximate`.
        """
        key = step.key
        if key is None:
            return
        locks = self._locks
        try:
            if result is not None and step.storable:
                self._store.save(key, result)
                if locks is not None and result.seconds > FLUSH_SECONDS:
                    self._store.flush()
                    with self._announcing:
                        self._seen = locks.announce(self._seen)
        finally:
            self._unlock(key)

    def _unlock(self, key: str) -> None:
        """Release the lock on a key, if this run holds it."""
        if self._locks is not None and key in self._locked:
            self._locked.discard(key)
            self._locks.release(key)
