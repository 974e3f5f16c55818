"""Plans a run: finds the steps that the targets need, and decides which of them must be computed."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass

from engine.check.check import Checked
from engine.errors import GraphError, NodeError
from engine.files import Files
from engine.gc_pause import gc_paused
from engine.plan.actions import decide
from engine.plan.builder import MAX_STEPS, PlanBuilder
from engine.plan.plan_errors import Unreadable
from engine.plan.step import Step
from engine.plan.targets import needed_by, targets_of
from engine.problem_list import Problems
from engine.store.store import Store

_MANY_STEPS = 500


@dataclass(slots=True)
class Plan:
    """The steps of a run, parents first, and the targets among them."""

    checked: Checked
    steps: dict[str, Step]
    """The steps by id. The elements of a node that goes through lists (`denoise[2]`) come before the node
    itself."""
    targets: tuple[str, ...]
    builder: PlanBuilder
    """Adds further steps during the run."""
    compute: str = ""
    """The compute settings as text, for the keys of accelerator nodes."""
    name: str = ""
    """The name of the graph in the history; empty to leave the history unchanged."""
    announcement: bytes | None = None
    """The last announcement of the step locks before the plan queried the store; None if unknown. A different
    one means that another process has stored results since."""

    @property
    def is_large(self) -> bool:
        """True if the plan has so many steps that `gc.freeze` was called; its run ends with `gc.unfreeze`."""
        return len(self.steps) >= _MANY_STEPS

    @property
    def to_run(self) -> list[Step]:
        """The steps that must be computed."""
        return [step for step in self.steps.values() if step.action == "run" and not step.assembled]

    @property
    def may_run(self) -> list[Step]:
        """The steps for which only the run can decide whether they must be computed."""
        return [step for step in self.steps.values() if step.action == "may_run" and not step.assembled]


def plan(
    checked: Checked,
    store: Store,
    files: Files,
    *,
    targets: Sequence[str] = (),
    compute: str = "cpu",
    name: str = "",
    max_steps: int = MAX_STEPS,
) -> Plan:
    """Decide which steps a run must compute.

    Args:
        checked: a graph without errors.
        store: the store to look for results in.
        files: the files that nodes may read.
        targets: ids of nodes or subgraphs; see `targets_of` for the default.
        compute: the compute settings of accelerator nodes, as text.
        name: the name of the graph in the history.
        max_steps: the limit for the number of steps in the plan.

    Raises:
        GraphError: the graph has errors, there is no such target, or a file that a step needs is missing.
    """
    if not checked.ok:
        raise GraphError(checked.problems)
    nodes = targets_of(checked, targets)
    builder = PlanBuilder(checked, store, files, compute, max_steps)
    with gc_paused:
        _add_steps(builder, nodes)
        decide(builder.order, {builder.by_id[node] for node in nodes}, store)
        made = Plan(checked, builder.by_id, nodes, builder, compute, name)
        if made.is_large:
            gc.freeze()
    return made


def _add_steps(builder: PlanBuilder, targets: Sequence[str]) -> None:
    needed, certain = needed_by(builder.checked, targets)
    problems = Problems()
    for node, bound in builder.checked.steps.items():
        if node not in needed:
            continue
        try:
            builder.add(bound, only_if_asked=node not in certain)
        except Unreadable as error:
            problems.append(error.problem)
            builder.by_id[node] = Step(node, bound, (), ())  # so that the steps after it can be checked too
        except NodeError as error:
            problems.append(error.problem(node))
            builder.by_id[node] = Step(node, bound, (), ())
    if problems:
        raise GraphError(problems)
