"""A step: one run of one node, with what it needs and what will be done about it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from engine.check import Bound
from engine.reasons import Reasons
from engine.store.store import Tier
from engine.values import Json

Action = Literal["run", "reuse", "share", "unneeded"]


class Source(NamedTuple):
    """Where one input of a step comes from."""

    input: str
    step: Step
    output: str
    path: tuple[int, ...] = ()
    """Which element, of a list that the step makes as one result."""
    digest: str = ""
    """What that element is, so that the key depends on it and not on the list around it."""

    @property
    def identity(self) -> str | None:
        """What decides this input, as a part of the key; None while that is not known."""
        key = self.step.identity
        if self.digest or key is None:
            return f"={self.digest}" if self.digest else None
        return f"{key}.{self.output}"


@dataclass(slots=True, eq=False)
class Step:
    """One run of a node that the targets may depend on, and what will be done about it."""

    id: str
    """The id of its node; `denoise[2]` for an element of one that goes through lists."""
    bound: Bound
    sources: tuple[Source, ...]
    """Every input that a wire brings, those of lazy inputs included."""
    parents: tuple[Step, ...]
    """The steps whose results it waits for, each once."""
    later: tuple[Step, ...] = field(default=(), kw_only=True)
    """The steps whose results it may take besides, once it is known which."""
    key: str | None = None
    """Its content key; None while that depends on something another step has yet to say."""
    keep: bool = True
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
    """True if the key was not known when the step was planned."""
    index: int = 0
    asked: frozenset[str] | None = None
    """Of a node with lazy inputs, those that it will read; None while that is not known."""
    maybe: bool = False
    """True if it is needed only when a lazy input turns out to be asked for."""
    at: tuple[int, ...] = ()
    """Of an element, its place along each axis that its node goes through."""
    depth: int = 0
    """How many nodes returned a graph for this step to be there."""
    reasons: Reasons | None = None
    """What compares it with how its graph was; None where that is not remembered."""

    @property
    def identity(self) -> str | None:
        """Its key, by which its dependants' keys know it."""
        return self.key

    @property
    def lane(self) -> bool:
        """True if it needs the device for itself."""
        return self.bound.type.accelerator

    @property
    def held(self) -> bool:
        """True if its result is there without computing."""
        step = self.leader or self
        return step.action == "reuse"

    @property
    def reason(self) -> str:
        """Why it runs or not, in words."""
        if self.action == "share":
            return f"shared with `{self.leader.id}`: same inputs" if self.leader else ""
        if self.action == "reuse":
            return "memory" if self.tier == "memory" else f"disk, made {ago(time.time() - self.made)}"
        if self.action == "unneeded":
            return "only if asked for" if self.maybe else "not needed: what follows is there already"
        if self.reasons is not None:
            return self.reasons.why(self)
        if not self.bound.type.pure:
            return f"{self.bound.type.name} acts on the world, so it always runs"
        for parent in self.parents:
            if (parent.leader or parent).action == "run":
                return f"{parent.id} runs"
        return "no result for these inputs yet"

    def elements(self) -> Iterator[Step]:
        """The steps that compute it: itself, or all elements of a node that goes through lists."""
        yield self


@dataclass(slots=True, eq=False)
class Gather(Step):
    """A node that goes through lists, as a whole: the list of its elements' results."""

    children: tuple[Step, ...] | None = None
    """Its elements, or for each of them another list; None while their number is not known."""
    around: Step | None = None
    """The step that returned the graph that the node is in, if one did."""
    spread: Spread | None = None
    """Finds out what the elements are, where the plan could not."""
    lacks: tuple[Step, ...] = ()
    """What the plan would have to know for that."""
    _identity: str | None = field(default=None, repr=False)

    @property
    def identity(self) -> str | None:
        """A digest of its elements' keys."""
        if self._identity is None and self.children is not None:
            keys = [child.identity for child in self.children]
            known = [key for key in keys if key is not None]
            if len(known) == len(keys):
                self._identity = hashlib.sha256(f"[{','.join(known)}]".encode()).hexdigest()
        return self._identity

    @property
    def lane(self) -> bool:
        """False: gathering needs no device."""
        return False

    @property
    def held(self) -> bool:
        """True if all elements are there."""
        return self.children is not None and all(child.held for child in self.children)

    @property
    def reason(self) -> str:
        """How many elements run."""
        if self.children is None:
            return "for each element of a list that is not known yet"
        steps = list(self.elements())
        runs = sum(1 for step in steps if (step.leader or step).action == "run")
        return f"{runs:,} of {len(steps):,} elements" + (" run" if runs else ": all there")

    def elements(self) -> Iterator[Step]:
        """All elements, of lists within lists too."""
        for child in self.children or ():
            yield from child.elements()

    def grown(self, children: Iterable[Step]) -> None:
        """Say what the elements are."""
        self.children = self.parents = tuple(children)
        self.keep = all(child.keep for child in self.children)


@dataclass(slots=True, eq=False)
class Spread(Step):
    """Finds out, once the lists are there, what the elements of a node that goes through them are."""

    gather: Gather = field(kw_only=True)

    @property
    def lane(self) -> bool:
        """False: looking at lists needs no device."""
        return False


def ago(seconds: float) -> str:
    """A span of time in words."""
    if seconds < 90:
        return f"{max(0, int(seconds))} s ago"
    if seconds < 5400:
        return f"{round(seconds / 60)} min ago"
    if seconds < 129600:
        return f"{round(seconds / 3600)} h ago"
    return f"{round(seconds / 86400)} days ago"
