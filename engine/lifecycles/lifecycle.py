"""The seam of everything that wraps a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from engine.step import Step
from engine.store.store import Result


class Lifecycle(Protocol):
    """Wraps one step. Setups run in order, teardowns in reverse, also after a failure."""

    def setup(self, step: Step, inputs: Mapping[str, object]) -> Result | None:
        """Before the step; a result answers it without running its body."""
        ...

    def teardown(self, step: Step, inputs: Mapping[str, object], result: Result | None) -> None:
        """After the step; without a result it has failed or was cancelled. May raise to fail the step."""
        ...
