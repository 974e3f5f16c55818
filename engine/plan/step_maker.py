"""The interface by which the expansions of lists and returned graphs make steps; see `PlanBuilder`."""

from __future__ import annotations

from typing import Protocol

from engine.check.bound import Bound
from engine.check.check import Checked
from engine.document.graph import From
from engine.plan.known_lists import KnownLists
from engine.plan.step import Source, Step


class StepMaker(Protocol):
    """Makes steps and adds them to a plan."""

    checked: Checked
    lists: KnownLists
    max_steps: int
    order: list[Step]
    by_id: dict[str, Step]

    def add(self, bound: Bound, only_if_asked: bool = False, returned_by: Step | None = None) -> Step:
        """Make the step of a bound node, whose parents must have steps already, and add it to the plan."""
        ...

    def remove(self, start: int) -> None:
        """Remove all steps that were added after the first `start`."""
        ...

    def source(self, name: str, link: From, returned_by: Step | None) -> Source:
        """Find the step and output that a wired input comes from."""
        ...

    def make_step(self, bound: Bound, sources: tuple[Source, ...], only_if_asked: bool, depth: int) -> Step:
        """Make a step from the origins of its inputs, and add it to the plan."""
        ...

    def enter(self, step: Step) -> None:
        """Add a step to the plan."""
        ...
