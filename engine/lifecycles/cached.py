"""Answers a step from the store, and keeps what it made."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from threading import Lock

from engine.claims import Claims
from engine.step import Step
from engine.store.store import Result, Store

DEAR_SECONDS = 0.02
"""What takes longer is worth looking for in the store, and is there before anybody else may claim it."""

QUICK_SECONDS = 0.002
QUICK_RUNS = 3
"""Node types that were as quick as this so often, and never slower, are not claimed from other processes."""


class Cached:
    """A step whose key the store holds does not run; what a step made is kept under its key.

    With claims, a step that somebody else is computing waits for that, and is answered from the store.

    Args:
        store: where results are.
        claims: those on the keys of this store.
        check: called while a step waits for a claim of somebody else; raises to give it up.
        seen: the news of the claims before the plan looked into the store.
    """

    def __init__(
        self,
        store: Store,
        claims: Claims | None = None,
        check: Callable[[], None] = lambda: None,
        seen: bytes | None = None,
    ) -> None:
        self._store, self._claims, self._check, self._seen = store, claims, check, seen
        self._telling = Lock()
        self._answered: Counter[str] = Counter()

    def setup(self, step: Step, inputs: Mapping[str, object]) -> Result | None:
        """The kept result of a step whose key the plan could not know yet, or that was made since."""
        key = step.key
        if key is None or not step.keep:
            return None
        claims = self._claims
        if claims is None:
            return self._found(step, key) if step.late else None
        waited = claims.take(key, self._check, here=claims.quick[step.bound.type.id] >= QUICK_RUNS)
        try:
            if not (waited or step.late or claims.news() != self._seen):
                return None
            result = self._found(step, key)
        except BaseException:
            claims.release(key)
            raise
        if result is not None:
            claims.release(key)
        return result

    def _found(self, step: Step, key: str) -> Result | None:
        result = self._store.load(key)
        if result is not None:
            self._answered[step.bound.type.id] += 1
        return result

    def hits(self, steps: Iterable[Step]) -> Counter[str]:
        """How often results of which node types were there, now that the run is over.

        Args:
            steps: those of the plan.
        """
        reused = [step.bound.type for step in steps if step.action == "reuse"]
        types = {id(node_type): node_type for node_type in reused}
        found = self._answered.copy()
        for number, count in Counter(map(id, reused)).items():  # to spell out the name of each takes longer
            found[types[number].id] += count
        return found

    def teardown(self, step: Step, inputs: Mapping[str, object], result: Result | None) -> None:
        """Keep the result."""
        key = step.key
        if key is None or not step.keep:
            return
        claims = self._claims
        try:
            if result is not None:
                self._store.save(key, result)
                if claims is not None:
                    quick = result.seconds < QUICK_SECONDS
                    claims.quick[result.node_type] += 1 if quick else -math.inf
                if claims is not None and result.seconds > DEAR_SECONDS:
                    self._store.flush()
                    with self._telling:
                        self._seen = claims.announce(self._seen)
        finally:
            if claims is not None:
                claims.release(key)
