"""The interface of lifecycles: code that runs before and after every step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from engine.plan.step import Step
from engine.store.store import Result


class Lifecycle(Protocol):
    """Code around one step. Setups run in order, teardowns in reverse order, also after a failure."""

    def setup(self, step: Step, inputs: Mapping[str, object]) -> Result | None:
        """Called before the step. If it returns a result, the node is not called."""
        ...

    def teardown(self, step: Step, inputs: Mapping[str, object], result: Result | None) -> None:
        """Called after the step; `result` is None if the step failed or was cancelled. An exception fails the
        step."""
        ...
