"""Answers a step from the store, and keeps what it made."""

from __future__ import annotations

from collections.abc import Mapping

from engine.plan import Step
from engine.store.store import Result, Store


class Cached:
    """A step whose key the store holds does not run; what a step made is kept under its key."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def setup(self, step: Step, inputs: Mapping[str, object]) -> Result | None:
        """The kept result of a step whose key the plan could not know yet."""
        if step.late and step.keep and step.key is not None:
            return self._store.load(step.key)
        return None

    def teardown(self, step: Step, inputs: Mapping[str, object], result: Result | None) -> None:
        """Keep the result."""
        if result is not None and step.keep and step.key is not None:
            self._store.save(step.key, result)
