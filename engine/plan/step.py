"""A step of a plan: one execution of one node, with its inputs, its key and its action."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from engine.check.bound import Bound
from engine.store.store import Tier
from engine.values import Json

Action = Literal["run", "may_run", "reuse", "share", "unneeded"]
"""The action that the plan chooses for a step.

- `run`: compute the result.
- `may_run`: the run decides whether to compute it. Either the key is not known yet, so that the result may
  be in the store, or no node may ask for the result through its lazy input.
- `reuse`: take the result from the store.
- `share`: use the result of another step with the same key.
- `unneeded`: do nothing, since no step that runs needs the result.
"""


class Source(NamedTuple):
    """The origin of one input of a step."""

    input: str
    step: Step
    output: str
    path: tuple[int, ...] = ()
    """The indices of an element in the output, if the input is an element of a list that `step` makes."""
    digest: str = ""
    """The digest of that element, so that the key depends on the element and not on the whole list."""


@dataclass(slots=True, eq=False)
class Step:
    """One execution of a node, with the action that the plan chose for it."""

    id: str
    """The id of the node; `denoise[2]` for an element of a node that goes through lists."""
    bound: Bound
    sources: tuple[Source, ...]
    """The origins of all wired inputs, including lazy ones."""
    parents: tuple[Step, ...]
    """The steps whose results it waits for, without duplicates."""
    possible_parents: tuple[Step, ...] = field(default=(), kw_only=True)
    """Further steps whose results it needs if its node asks for the lazy inputs that they are wired to."""
    key: str | None = None
    """The content key; None while it depends on a value that is only known while running."""
    storable: bool = True
    """False if no later run can reuse the result, because this step or an ancestor has side effects."""
    fingerprint: Json = None
    """What `Node.fingerprint` returned, such as the digests of the files that the node reads."""
    action: Action = "run"
    tier: Tier | None = None
    """The tier of the store (memory or disk) that holds a reused result; otherwise None."""
    made: float = 0.0
    """The time at which a reused result was computed, in seconds since the epoch."""
    same_as: Step | None = None
    """The step with the same key whose result this step shares; None if it shares none."""
    key_unknown: bool = False
    """True if the key was not known when the step was planned."""
    index: int = 0
    """The place of the step in the order of the plan."""
    asked: frozenset[str] | None = None
    """The names of the lazy inputs that the node will read; None while that is not known."""
    only_if_asked: bool = False
    """True if the step is needed only if a node asks for it through a lazy input."""
    element_index: tuple[int, ...] = ()
    """For an element of a node that goes through lists: its index along each axis. Otherwise empty."""
    depth: int = 0
    """The number of nested returned graphs around this step."""
    may_return_graph: bool = False
    """True while it is unknown whether the node returns values or a graph."""
    expansion: tuple[Source, ...] | None = None
    """The steps and outputs that its outputs come from, if its node has returned a graph; otherwise None."""
    assembled: bool = False
    """True if the step computes nothing itself, since its result consists of the results of other steps."""

    @property
    def parts(self) -> tuple[Step, ...]:
        """The steps whose results make up the result of an assembled step; empty while they are unknown."""
        return self.parents if self.expansion is not None else ()

    @property
    def needs_device(self) -> bool:
        """True if it computes on the device, where only one step runs at a time."""
        return self.bound.type.accelerator and not self.assembled

    @property
    def is_stored(self) -> bool:
        """True if the plan reuses the result from the store."""
        step = self.same_as or self
        return step.action == "reuse"

    def expand(self, origins: Iterable[Source]) -> None:
        """Set the origins of the outputs after the node has returned a graph."""
        self.expansion = tuple(origins)
        self.parents = tuple(dict.fromkeys([source.step for source in self.expansion]))
        self.possible_parents, self.may_return_graph, self.assembled = (), False, True

    def elements(self) -> Iterator[Step]:
        """Yield the steps that compute the node: this one, or the elements if the node goes through lists."""
        yield self


@dataclass(slots=True, eq=False)
class Gather(Step):
    """The step of a node that goes through lists: it collects the results of the node's elements in lists."""

    assembled: bool = True
    children: tuple[Step, ...] | None = None
    """Its elements, or another `Gather` for each inner list; None while their number is not known."""
    returned_by: Step | None = None
    """The step whose node returned the graph that contains this node; None for a node of the document."""
    list_step: ListStep | None = None
    """The step that determines the elements during the run, if the plan could not."""
    unknown_lists: tuple[Step, ...] = ()
    """The steps that compute the lists whose lengths were unknown when the plan was made."""
    digests: dict[str, str] = field(default_factory=dict, repr=False)
    """Digests of the element keys, which `keys.of_output` caches."""

    @property
    def parts(self) -> tuple[Step, ...]:
        """Its elements; empty while their number is not known."""
        return self.children or ()

    @property
    def is_stored(self) -> bool:
        """True if the plan reuses the results of all elements."""
        return self.children is not None and all(child.is_stored for child in self.children)

    def elements(self) -> Iterator[Step]:
        """Yield all elements, including those of inner lists."""
        for child in self.children or ():
            yield from child.elements()

    def set_children(self, children: Iterable[Step]) -> None:
        """Set the elements after their number has become known."""
        self.children = self.parents = tuple(children)
        self.storable = all(child.storable for child in self.children)


@dataclass(slots=True, eq=False)
class ListStep(Step):
    """The step that, during the run, determines the elements of a node from the lists it goes through."""

    gather: Gather = field(kw_only=True)

    @property
    def needs_device(self) -> bool:
        """False: reading lists does not use the device."""
        return False


def origin(step: Step, output: str) -> tuple[Step, str]:
    """Find the step that really computes an output, and the name of the output there.

    They differ from the arguments if the step shares the result of another step or its node returned a graph.
    If returned graphs need each other's results in a cycle, any of their steps is returned; the run fails
    later.
    """
    passed: set[Step] = set()
    while True:
        step = step.same_as or step
        if step.expansion is None or step in passed:
            return step, output
        passed.add(step)
        source = next(source for source in step.expansion if source.input == output)
        step, output = source.step, source.output
