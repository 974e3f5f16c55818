"""Graph to ordered steps: only what the targets need, each with run or reuse, and the reason in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.check import Bound, Checked
from engine.collector import seldom
from engine.errors import GraphError, NodeError, Problem
from engine.files import Files
from engine.problems import Problems
from engine.reasons import Reasons
from engine.registry import near
from engine.step import Gather, Spread, Step
from engine.steps import Steps, Unreadable, asked, targets_of
from engine.store.store import Held, Store


@dataclass(slots=True)
class Plan:
    """Steps in order, parents first, and which of them are the targets."""

    checked: Checked
    steps: dict[str, Step]
    """By id; elements of a node that goes through lists (`denoise[2]`) before the node as a whole."""
    targets: tuple[str, ...]
    maker: Steps
    """Makes further steps, while it runs."""
    device: str = "cpu"
    """The kind of device that accelerator nodes would compute on; it is part of their keys."""

    @property
    def to_run(self) -> list[Step]:
        """The steps that have to be computed."""
        return [step for step in self.steps.values() if step.action == "run" and not isinstance(step, Gather)]


def plan(
    checked: Checked,
    store: Store,
    files: Files,
    *,
    targets: Sequence[str] = (),
    device: str = "cpu",
    reasons: Reasons | None = None,
) -> Plan:
    """Decide what has to run so that the targets have their results.

    Args:
        checked: a graph without errors.
        store: where results may lie already.
        files: what nodes that read files are shown.
        targets: ids of nodes or subgraphs; without any, what the graph declares as outputs and what acts on
            the world.
        device: the kind of device that accelerator nodes would compute on.
        reasons: what compares the steps with how their graph was, if that is remembered.

    Raises:
        GraphError: the graph has errors, a target does not exist, or a file that a step needs is missing.
    """
    if not checked.ok:
        raise GraphError(checked.problems)
    wanted, unknown = targets_of(checked, targets)
    if unknown:
        raise GraphError(
            Problem("unknown_node", f"there is no node {target!r}", hint=near(target, checked.steps))
            for target in unknown
        )
    wanted = tuple(wanted) or _default_targets(checked)
    with seldom:
        return _plan(checked, wanted, store, files, device, reasons)


def _plan(
    checked: Checked,
    wanted: tuple[str, ...],
    store: Store,
    files: Files,
    device: str,
    reasons: Reasons | None,
) -> Plan:
    steps = Steps(checked, store, files, device, reasons)
    needed, surely = _ancestors(checked, wanted)
    problems = Problems()
    for node, bound in checked.steps.items():
        if node not in needed:
            continue
        try:
            steps.add(bound, maybe=node not in surely)
        except Unreadable as error:
            problems.append(error.problem)
            steps.by_id[node] = Step(node, bound, (), ())  # so that other problems are found, too
        except NodeError as error:
            problems.append(error.problem(node))
            steps.by_id[node] = Step(node, bound, (), ())
    if problems:
        raise GraphError(problems)
    planned = Plan(checked, steps.by_id, wanted, steps, device)
    decide(steps.order, {steps.by_id[target] for target in wanted}, store)
    return planned


def decide(steps: Sequence[Step], wanted: set[Step], store: Store) -> None:
    """Say of each step whether it is to run, given which of them are wanted; parents come first."""
    held = store.where([step.key for step in steps if step.key is not None and step.keep])
    for step in reversed(steps):
        if isinstance(step, Gather):
            _decide_gather(step, held, wanted)
        elif step.leader is not None:
            if step in wanted:
                wanted.add(step.leader)
        elif step.key is not None and (found := held.get(step.key)) is not None:
            step.action, step.tier, step.made = "reuse", found.tier, found.made
        elif step in wanted:
            wanted.update(step.parents)
        else:
            step.action = "unneeded"
    for step in steps:
        if isinstance(step, Gather) and step.action == "unneeded" and step.children is not None:
            if any((child.leader or child).action == "run" for child in step.elements()):
                step.action = "run"


def _decide_gather(gather: Gather, held: dict[str, Held], wanted: set[Step]) -> None:
    keys = [step.key for step in gather.elements()]
    if gather.children is not None and all(key is not None and key in held for key in keys):
        gather.action = "reuse"
        in_memory = all(held[key].tier == "memory" for key in keys if key is not None)
        gather.tier = "memory" if in_memory else "disk"
        gather.made = min((held[key].made for key in keys if key is not None), default=0.0)
    elif gather not in wanted:
        gather.action = "unneeded"
    elif gather.children is not None:
        wanted.update(gather.children)
    else:
        wanted.update(step.gather if isinstance(step, Spread) else step for step in gather.lacks)


def _default_targets(checked: Checked) -> tuple[str, ...]:
    wanted = dict.fromkeys(link.node for link in checked.outputs.values())
    wanted |= dict.fromkeys(node for node, bound in checked.steps.items() if not bound.type.pure)
    if wanted:
        return tuple(wanted)
    inner = {link.node for bound in checked.steps.values() for link in bound.links.values()}
    return tuple(node for node in checked.steps if node not in inner)


def _ancestors(checked: Checked, targets: Iterable[str]) -> tuple[set[str], set[str]]:
    """The nodes that the targets may need, and those that they need whatever lazy inputs are asked for."""
    needed = set(targets)
    surely = set(needed)
    chosen: dict[str, frozenset[str] | None] = {}
    for found, certain in ((needed, False), (surely, True)):
        if certain and not chosen:  # nothing lazy among them
            return needed, needed
        stack = list(found)
        while stack:
            node = stack.pop()
            bound = checked.steps[node]
            lazy = bound.type.lazy
            if lazy and node not in chosen:
                chosen[node] = _chosen(bound)
            for name, link in bound.links.items():
                if lazy and name in lazy:
                    reads = chosen[node]
                    if certain if reads is None else name not in reads:
                        continue
                if link.node not in found:
                    found.add(link.node)
                    stack.append(link.node)
    return needed, surely


def _chosen(bound: Bound) -> frozenset[str] | None:
    """Which lazy inputs a node will read, if that can be said before anything runs."""
    if bound.lift is not None or any(name not in bound.type.lazy for name in bound.links):
        return None
    try:
        return asked(bound.type, bound.literals)
    except Exception:  # told when its step is made
        return None
