"""The interface of lifecycles: code that runs before and after every step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from engine.plan.step import Step
from engine.store.store import Result


class Lifecycle(Protocol):
    """Code around one step. Setups run in order; teardowns, each with its `finish`, in reverse order, also
    after a failure. A subclass overrides the methods that it needs.
    """

    def setup(self, step: Step, inputs: Mapping[str, object]) -> Result | None:
        """Called before the step. If it returns a result, the node is not called."""
        return None

    def teardown(self, step: Step, inputs: Mapping[str, object], result: Result | None) -> None:
        """Called after the step; `result` is None if the step failed or was cancelled. An exception fails the
        step."""
        return

    def finish(self, step: Step, result: Result | None) -> None:
        """Slow work on the result, such as encoding and writing it; called after `teardown`, also after a
        failure. An exception fails the step.

        After a step that has made pictures on the device, it is called when all lifecycles are torn down, and
        later steps may run meanwhile, also those that take the pictures.
        """
        return
