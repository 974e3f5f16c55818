"""Sets the action of each step of a plan: run, reuse, share, …"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.plan.step import Gather, ListStep, Step
from engine.store.store import Store


def decide(steps: Sequence[Step], wanted: set[Step], store: Store) -> None:
    """Set the action of each step.

    Args:
        steps: the steps of a plan, parents first.
        wanted: the steps whose results the run needs; the function adds the steps that these depend on.
        store: the store to look for results in.
    """
    held = store.where(
        [step.key for step in steps if step.key is not None and step.storable and not step.may_return_graph]
    )
    for step in reversed(steps):
        if step.same_as is not None:
            if step in wanted:
                wanted.add(step.same_as)
        elif step.assembled:
            if step in wanted:
                wanted.update(_parts(step))
        elif step.key is not None and not step.may_return_graph and (entry := held.get(step.key)) is not None:
            step.action, step.tier, step.made = "reuse", entry.tier, entry.made
        elif step not in wanted:
            step.action = "unneeded"
        else:
            wanted.update(step.parents)
            if step.key is None and step.storable:
                step.action = "may_run"
    for step in steps:
        if step.assembled:
            _decide_assembled(step, step in wanted)
    _mark_possible(steps)


def _parts(step: Step) -> Iterable[Step]:
    """Return the steps whose results are combined into the result of a step.

    If the step collects a list whose elements are not known yet, return the steps that determine them.
    """
    if not isinstance(step, Gather):
        return step.parents
    if step.children is not None:
        return step.children
    return [part.gather if isinstance(part, ListStep) else part for part in step.unknown_lists]


def _decide_assembled(step: Step, wanted: bool) -> None:
    """Set the action of an assembled step from the actions of its parts."""
    if isinstance(step, Gather) and step.children is None:
        step.action = "may_run" if wanted else "unneeded"
        return
    parts = [part.same_as or part for part in _parts(step)]
    actions = {part.action for part in parts}
    if actions <= {"reuse"}:
        step.action = "reuse"
        step.tier = "memory" if all(part.tier == "memory" for part in parts) else "disk"
        step.made = min((part.made for part in parts), default=0.0)
    else:
        step.action = "run" if "run" in actions else "may_run" if "may_run" in actions else "unneeded"


def _mark_possible(steps: Sequence[Step]) -> None:
    """Set the action `may_run` for steps that run only if a node asks for a lazy input."""
    possible: set[Step] = set()
    for step in reversed(steps):
        if step in possible:
            if step.same_as is not None:
                possible.add(step.same_as)
            elif step.action == "unneeded":
                step.action = "may_run"
                possible.update(step.parents if not step.assembled else _parts(step))
        if step.possible_parents and step.action in ("run", "may_run"):
            possible.update(
                part.gather if isinstance(part, ListStep) else part for part in step.possible_parents
            )
