"""Estimates the time and the memory of a run from its plan, before it starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine.devices.compute import ComputeSettings
from engine.devices.memory import device_memory
from engine.errors import Problem
from engine.explain.history import Record
from engine.explain.past_node import PastNode, machine_of, place
from engine.files import Files
from engine.pack_errors import hook_problem
from engine.packs.provenance import Estimate as EstimateHook
from engine.packs.provenance import Provenance, StepNeeds
from engine.plan.plan import Plan
from engine.plan.step import Step
from engine.store.store import Store


@dataclass(frozen=True, slots=True)
class StepEstimate:
    """The estimated time and memory of one step; a field is None if it is unknown."""

    seconds: float | None
    """The time that it took when it last ran in this graph, scaled by its work now and then."""
    models: int | None
    """The bytes of the models that it uses on the device."""
    memory: int | None
    """The peak bytes that it takes in addition to its models."""

    def as_json(self) -> dict[str, Any]:
        """Return the estimate as a JSON object."""
        return asdict(self)


_UNKNOWN = StepEstimate(None, None, None)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimated time and memory of a run."""

    steps: Mapping[str, StepEstimate]
    """The estimates of the steps that run or may run, by id."""
    seconds: float
    """The sum of the known times."""
    unknown: int
    """The number of steps that run but whose time is unknown."""
    models: int
    """The bytes of all models that the run uses on the device together."""
    peak: int
    """The estimated peak bytes on the device: the loaded models, which the budget limits, and the memory of
    one step."""
    device: str
    """The device that nodes compute on."""
    total: int | None
    """The bytes of the device's memory; None if unknown."""
    free: int | None
    """The free bytes of the device's memory; None if unknown."""

    def of_step(self, id: str) -> StepEstimate:
        """Return the estimate of a step; all its fields are None for a step that does not run."""
        return self.steps.get(id, _UNKNOWN)

    def as_json(self) -> dict[str, Any]:
        """Return the estimate of the whole run as a JSON object, without those of its steps."""
        tree = asdict(self)
        del tree["steps"]
        return {**tree, "seconds": round(self.seconds, 3)}


class Estimator:
    """Estimates the time and memory of runs before they start.

    Args:
        hooks: the functions `estimate` of node packs.
        compute: the compute settings.
        files: the user's files.
        store: the store; its results have the times that their steps took.
        budget: the most bytes of unused models that stay loaded on the device.
    """

    def __init__(
        self,
        hooks: Sequence[EstimateHook],
        compute: ComputeSettings,
        files: Files,
        store: Store,
        budget: int,
    ) -> None:
        self._hooks, self._compute, self._files = hooks, compute, files
        self._store, self._budget = store, budget
        self.problems: list[Problem] = []
        """The problems of hooks that raised an exception."""

    def estimate(self, plan: Plan, record: Record | None) -> Estimate:
        """Estimate the run of a plan.

        Args:
            plan: the plan.
            record: the nodes of the graph as they were in its previous run; None if the history has none.
        """
        running = [*plan.to_run, *plan.may_run]
        needs = self._needs(
            {
                step.id: Provenance(
                    step.bound.type.name,
                    step.bound.literals,
                    {source.input: source.step.id for source in step.sources},
                    {},
                )
                for step in plan.steps.values()
            }
        )
        seconds = self._times(plan, running, needs, record) if record is not None else {}
        steps = {step.id: _of_step(seconds.get(step.id), needs.get(step.id)) for step in running}
        used = [needs[step.id] for step in running if step.id in needs]
        models: dict[str, int] = {}
        for one in used:
            models |= one.models
        held = min(sum(models.values()), self._budget)
        peaks = [max(held, sum(one.models.values())) + (one.memory or 0) for one in used]
        memory = device_memory(self._compute.device)
        return Estimate(
            steps,
            sum(seconds.values()),
            sum(1 for step in plan.to_run if step.id not in seconds),
            sum(models.values()),
            max(peaks, default=0),
            self._compute.device,
            None if memory is None else memory.total,
            None if memory is None else memory.free,
        )

    def _needs(self, steps: Mapping[str, Provenance]) -> dict[str, StepNeeds]:
        found: dict[str, StepNeeds] = {}
        for hook in self._hooks:
            try:
                found.update(hook(steps, self._compute, self._files))
            except Exception as error:  # the code of a node pack may raise anything
                self.problems.append(hook_problem("estimate", hook, error))
        return found

    def _times(
        self, plan: Plan, running: Sequence[Step], needs: Mapping[str, StepNeeds], record: Record
    ) -> dict[str, float]:
        """Estimate the seconds of steps by id, from their times in the previous run, scaled by their work.

        A new element of a list gets the mean of the node's elements in the previous run. Steps with unknown
        times are left out.
        """
        past = _Past(record.nodes, self._store, self._needs, plan.compute)
        seconds = {step.id: past.seconds(step, needs.get(step.id)) for step in running}
        return {id: found for id, found in seconds.items() if found is not None}


class _Past:
    """The times and needs of the steps in a graph's previous run."""

    def __init__(
        self,
        nodes: Mapping[str, PastNode],
        store: Store,
        needs: Callable[[Mapping[str, Provenance]], Mapping[str, StepNeeds]],
        compute: str,
    ) -> None:
        self._nodes, self._compute = nodes, compute
        held = store.where([node.key for node in nodes.values() if node.key is not None])
        self._seconds = {
            id: held[node.key].seconds
            for id, node in nodes.items()
            if node.key is not None and node.key in held
        }
        self._needs = needs(
            {
                id: Provenance(
                    node.type, node.literals, {name: link[0] for name, link in node.links.items()}, {}
                )
                for id, node in nodes.items()
            }
        )
        self._elements: dict[str, list[str]] = {}
        for id in self._seconds:
            self._elements.setdefault(place(id), []).append(id)

    def seconds(self, step: Step, needs: StepNeeds | None) -> float | None:
        """Estimate the seconds of a step; None if neither it nor another element of its node ran before."""
        before = [step.id] if step.id in self._seconds else self._elements.get(place(step.id), [])
        times = [self._scaled(id, needs) for id in before if self._is_alike(id, step)]
        return sum(times) / len(times) if times else None

    def _is_alike(self, id: str, step: Step) -> bool:
        """Return True if a step of the previous run had the same type and ran on the same kind of machine."""
        node, kind = self._nodes[id], step.bound.type
        now, before = machine_of(kind, self._compute), node.machine
        same_machine = now == before if now is None or before is None else tuple(now) == tuple(before)
        return same_machine and (node.type, node.version) == (kind.name, kind.version)

    def _scaled(self, id: str, needs: StepNeeds | None) -> float:
        seconds, before = self._seconds[id], self._needs.get(id)
        if needs is None or needs.work is None or before is None or not before.work:
            return seconds
        return seconds * needs.work / before.work


def _of_step(seconds: float | None, needs: StepNeeds | None) -> StepEstimate:
    rounded = None if seconds is None else round(seconds, 3)
    if needs is None:
        return StepEstimate(rounded, None, None)
    return StepEstimate(rounded, sum(needs.models.values()), needs.memory)
