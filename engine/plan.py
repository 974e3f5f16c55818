"""Graph to ordered steps: only what the targets need, each with run or reuse, and the reason in words."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.check import Bound, Checked
from engine.errors import GraphError, Problem, explained
from engine.files import Files
from engine.keys import step_key
from engine.registry import near
from engine.store.store import Store, Tier
from engine.values import Json, canonical

Action = Literal["run", "reuse", "share", "unneeded"]


@dataclass(slots=True, eq=False)
class Step:
    """One node that the targets depend on, and what will be done about it."""

    bound: Bound
    parents: tuple[Step, ...]
    """The steps that its wires come from, each once, in the order of the inputs."""
    key: str | None
    """Its content key; None while that depends on a file whose name another step has yet to say."""
    keep: bool
    """False if its result means nothing to a later run, because it or an ancestor acts on the world."""
    fingerprint: Json = None
    """What it reads from the world, as the plan found it."""
    action: Action = "run"
    tier: Tier | None = None
    made: float = 0.0
    """When the result that is reused was made, in seconds since the epoch."""
    leader: Step | None = None
    """The equal step whose result this one shares."""
    late: bool = False
    """True if the key was not known when the plan was made."""
    index: int = 0

    @property
    def id(self) -> str:
        """The id of its node."""
        return self.bound.id

    @property
    def reason(self) -> str:
        """Why it runs or not, in words."""
        if self.action == "share":
            return f"same as {self.leader.id}" if self.leader else ""
        if self.action == "reuse":
            return "in memory" if self.tier == "memory" else f"on disk, made {_ago(time.time() - self.made)}"
        if self.action == "unneeded":
            return "not needed: what follows is there already"
        if not self.bound.type.pure:
            return f"{self.bound.type.name} acts on the world, so it always runs"
        for parent in self.parents:
            if (parent.leader or parent).action == "run":
                return f"{parent.id} runs"
        return "no result for these inputs yet"


@dataclass(slots=True)
class Plan:
    """Steps in order, parents first, and which of them are the targets."""

    checked: Checked
    steps: dict[str, Step]
    targets: tuple[str, ...]
    device: str = "cpu"
    """The kind of device that accelerator nodes would compute on; it is part of their keys."""

    @property
    def to_run(self) -> list[Step]:
        """The steps that have to be computed."""
        return [step for step in self.steps.values() if step.action == "run"]


def plan(
    checked: Checked, store: Store, files: Files, *, targets: Sequence[str] = (), device: str = "cpu"
) -> Plan:
    """Decide what has to run so that the targets have their results.

    Args:
        checked: a graph without errors.
        store: where results may lie already.
        files: what nodes that read files are shown.
        targets: node ids; without any, what the graph declares as outputs and what acts on the world.
        device: the kind of device that accelerator nodes would compute on.

    Raises:
        GraphError: the graph has errors, a target does not exist, or a file that a step needs is missing.
    """
    if not checked.ok:
        raise GraphError(checked.problems)
    wanted = tuple(targets) or _default_targets(checked)
    unknown = [target for target in wanted if target not in checked.steps]
    if unknown:
        raise GraphError(
            Problem("unknown_node", f"there is no node {target!r}", hint=near(target, checked.steps))
            for target in unknown
        )
    steps, problems = _steps(checked, wanted, files, device)
    if problems:
        raise GraphError(problems)
    planned = Plan(checked, steps, wanted, device)
    _decide(planned, store)
    return planned


def _default_targets(checked: Checked) -> tuple[str, ...]:
    wanted = dict.fromkeys(link.node for link in checked.graph.outputs.values())
    wanted |= dict.fromkeys(node for node, bound in checked.steps.items() if not bound.type.pure)
    if wanted:
        return tuple(wanted)
    inner = {link.node for bound in checked.steps.values() for link in bound.links.values()}
    return tuple(node for node in checked.steps if node not in inner)


def _ancestors(checked: Checked, targets: Iterable[str]) -> set[str]:
    found = set(targets)
    stack = list(found)
    while stack:
        for link in checked.steps[stack.pop()].links.values():
            if link.node not in found:
                found.add(link.node)
                stack.append(link.node)
    return found


def _steps(
    checked: Checked, targets: tuple[str, ...], files: Files, device: str
) -> tuple[dict[str, Step], list[Problem]]:
    needed = _ancestors(checked, targets)
    steps: dict[str, Step] = {}
    keys: dict[str, str] = {}
    leaders: dict[str, Step] = {}
    problems: list[Problem] = []
    nonce = ""
    for node, bound in checked.steps.items():
        if node not in needed:
            continue
        parents = tuple(dict.fromkeys([steps[link.node] for link in bound.links.values()]))
        fingerprint: Json = None
        key = None
        keep, known = bound.type.pure, not (parents and bound.type.reads_world)
        for parent in parents:
            keep, known = keep and parent.keep, known and parent.key is not None
        if known:
            if bound.type.reads_world:
                try:
                    fingerprint = bound.type.cls(**bound.literals).fingerprint(files)
                    canonical(fingerprint)
                except Exception as error:  # the code of a node pack may raise anything
                    problems.append(explained(error, node, bound.type.name)[0])
                    fingerprint = None
            world = fingerprint
            if not bound.type.pure:
                nonce = nonce or os.urandom(16).hex()
                world = [fingerprint, nonce, node]
            keys[node] = key = step_key(bound, keys, world, device)
        step = Step(bound, parents, key, keep, fingerprint, late=key is None, index=len(steps))
        steps[node] = step
        if key is not None and (leader := leaders.setdefault(key, step)) is not step:
            step.action, step.leader = "share", leader
    return steps, problems


def _decide(planned: Plan, store: Store) -> None:
    steps = planned.steps
    held = store.where([step.key for step in steps.values() if step.key is not None and step.keep])
    wanted = {steps[target] for target in planned.targets}
    for step in reversed(list(steps.values())):
        if step.leader is not None:
            if step in wanted:
                wanted.add(step.leader)
            continue
        found = held.get(step.key) if step.key is not None else None
        if found is not None:
            step.action, step.tier, step.made = "reuse", found.tier, found.made
        elif step in wanted:
            wanted.update(step.parents)
        else:
            step.action = "unneeded"


def _ago(seconds: float) -> str:
    if seconds < 90:
        return f"{max(0, int(seconds))} s ago"
    if seconds < 5400:
        return f"{round(seconds / 60)} min ago"
    if seconds < 129600:
        return f"{round(seconds / 3600)} h ago"
    return f"{round(seconds / 86400)} days ago"
