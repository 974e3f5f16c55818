"""Collects the declared outputs of a run in memory, and puts the elements of list outputs together."""

from __future__ import annotations

from collections.abc import Callable

from engine.packing import joined
from engine.plan.plan import Plan
from engine.plan.step import Gather, Step
from engine.run.step_inputs import HOLE
from engine.values import Packed


class CollectedOutputs:
    """Keeps the declared outputs of a run in memory, packed into bytes.

    Args:
        plan: the plan of the run.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._values: dict[str, dict[Step, Packed]] = {}

    def take(self, output: str, step: Step, packed: Packed) -> None:
        """Keep an output, or one element of a list output; see `deliveries.Take`."""
        self._values.setdefault(output, {})[step] = packed

    def outputs(self, *, whole: bool) -> dict[str, Packed]:
        """Return the complete outputs by name, or the incomplete ones.

        Args:
            whole: True for the complete outputs; False for lists with missing elements (see `assembled`).
        """
        found = {}
        for name, link in self._plan.checked.outputs.items():
            values = self._values.get(name, {})
            if link.node not in self._plan.targets:
                continue
            packed, is_whole = assembled(self._plan.steps[link.node], values.get)
            if is_whole == whole and (is_whole or values):
                found[name] = packed
        return found


def assembled(step: Step, read: Callable[[Step], Packed | None]) -> tuple[Packed, bool]:
    """Put an output together from the values of its steps.

    Args:
        step: the step that made the output; a `Gather` for a list.
        read: returns the value of a step; None if it is missing.

    Returns:
        the output, with `HOLE` for each missing element; and True if it is complete.
    """
    if not isinstance(step, Gather):
        packed = read(step)
        return packed or HOLE, packed is not None
    items = [assembled(child, read) for child in step.children or ()]
    is_whole = step.children is not None and all(is_whole for _, is_whole in items)
    return joined([packed for packed, _ in items]), is_whole
