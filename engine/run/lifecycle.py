"""The interface of lifecycles: code that runs before and after every step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from engine.plan.step import Step
from engine.store.store import Result


class Lifecycle(Protocol):
    """Code that runs before and after each step. A subclass overrides the methods that it needs.

    The lifecycles of a run are set up in order, and torn down and finished in reverse order, also if the step
    fails. Those whose `setup` was not reached, or which returned a result, are not torn down.
    """

    def setup(self, step: Step, inputs: Mapping[str, object]) -> Result | None:
        """Called before the step. If this returns a result, the node does not run."""
        return None

    def teardown(self, step: Step, inputs: Mapping[str, object], result: Result | None) -> None:
        """Called after the step; `result` is None if the step failed or was cancelled.

        If this raises, the step fails.
        """
        return

    def finish(self, step: Step, result: Result | None) -> None:
        """Called after `teardown` for slow work on the result, such as encoding and writing it.

        `result` is None if the step failed or was cancelled. If this raises, the step fails.

        After a step on the device whose result no node can change, such as pictures, this is called when all
        lifecycles are torn down. Later steps may already run then, including those that use the result.
        """
        return
