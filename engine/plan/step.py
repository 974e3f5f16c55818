"""A step of a plan: one execution of one node, with its inputs, its key and its action."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from engine.check.bound import Bound
from engine.store.store import Tier
from engine.values import Json

Action = Literal["run", "may_run", "reuse", "share", "unneeded"]
"""`may_run` means that only the run can decide: the key of the step is not known yet, so its result may be in
the store, or a node with lazy inputs may not read it."""


class Source(NamedTuple):
    """The origin of one input of a step."""

    input: str
    step: Step
    output: str
    path: tuple[int, ...] = ()
    """The place of the element, if the input is an element of a list that the step makes as one result."""
    digest: str = ""
    """The digest of that element, so that the key depends on it and not on the list around it."""


@dataclass(slots=True, eq=False)
class Step:
    """One execution of a node, with the action that the plan chose for it."""

    id: str
    """The id of the node; `denoise[2]` for an element of a node that goes through lists."""
    bound: Bound
    sources: tuple[Source, ...]
    """The origins of all wired inputs, lazy ones included."""
    parents: tuple[Step, ...]
    """The steps whose results it waits for, each once."""
    possible_parents: tuple[Step, ...] = field(default=(), kw_only=True)
    """The further steps that it may need after its node has chosen among its lazy inputs."""
    key: str | None = None
    """The content key; None while it depends on a value that is only known while running."""
    storable: bool = True
    """False if no later run can use the result, because this step or an ancestor has side effects."""
    fingerprint: Json = None
    """The state of the files and other things that the node reads, as `Node.fingerprint` returned it."""
    action: Action = "run"
    tier: Tier | None = None
    """The tier of the store that holds the result, if it is reused."""
    made: float = 0.0
    """When the reused result was made, in seconds since the epoch."""
    same_as: Step | None = None
    """The step with the same key whose result this one shares."""
    key_unknown: bool = False
    """True if the key was not known when the step was planned."""
    index: int = 0
    """The place of the step in the order of the plan."""
    asked: frozenset[str] | None = None
    """The lazy inputs that the node will read; None while that is not known."""
    only_if_asked: bool = False
    """True if the step is needed only when a node with lazy inputs asks for it."""
    element_index: tuple[int, ...] = ()
    """The place of an element along each axis that its node goes through."""
    depth: int = 0
    """The number of nested returned graphs around this step."""
    may_return_graph: bool = False
    """True while it is unknown whether the node returns values or a graph."""
    expansion: tuple[Source, ...] | None = None
    """The origins of its outputs, if its node has returned a graph."""
    assembled: bool = False
    """True if its result is put together from the results of other steps."""

    @property
    def parts(self) -> tuple[Step, ...]:
        """The steps whose results its own is put together from, if it is assembled and they are known."""
        return self.parents if self.expansion is not None else ()

    @property
    def needs_device(self) -> bool:
        """True if it runs alone on the device."""
        return self.bound.type.accelerator and not self.assembled

    @property
    def is_stored(self) -> bool:
        """True if the store holds its result."""
        step = self.same_as or self
        return step.action == "reuse"

    def expand(self, origins: Iterable[Source]) -> None:
        """Set the origins of the outputs, once the node has returned a graph."""
        self.expansion = tuple(origins)
        self.parents = tuple(dict.fromkeys([source.step for source in self.expansion]))
        self.possible_parents, self.may_return_graph, self.assembled = (), False, True

    def elements(self) -> Iterator[Step]:
        """The steps that compute the node: this one, or all elements of a node that goes through lists."""
        yield self


@dataclass(slots=True, eq=False)
class Gather(Step):
    """Collects the results of a node's elements in lists, for a node that goes through lists."""

    assembled: bool = True
    children: tuple[Step, ...] | None = None
    """Its elements, or another `Gather` for each inner list; None while their number is not known."""
    returned_by: Step | None = None
    """The step whose node returned the graph that contains this node; None for a node of the document."""
    list_step: ListStep | None = None
    """The step that determines the elements during the run, if the plan could not."""
    unknown_lists: tuple[Step, ...] = ()
    """The steps whose results determine the number of elements."""
    digests: dict[str, str] = field(default_factory=dict, repr=False)
    """The cached values of `keys.of_output`."""

    @property
    def parts(self) -> tuple[Step, ...]:
        """Its elements, if they are known."""
        return self.children or ()

    @property
    def is_stored(self) -> bool:
        """True if the store holds the results of all elements."""
        return self.children is not None and all(child.is_stored for child in self.children)

    def elements(self) -> Iterator[Step]:
        """All elements, those of inner lists included."""
        for child in self.children or ():
            yield from child.elements()

    def set_children(self, children: Iterable[Step]) -> None:
        """Set the elements, once they are known."""
        self.children = self.parents = tuple(children)
        self.storable = all(child.storable for child in self.children)


@dataclass(slots=True, eq=False)
class ListStep(Step):
    """Determines the elements of a node that goes through lists, after those lists have been computed."""

    gather: Gather = field(kw_only=True)

    @property
    def needs_device(self) -> bool:
        """False: reading lists does not use the device."""
        return False


def origin(step: Step, output: str) -> tuple[Step, str]:
    """Find the step that makes an output, through shared results and returned graphs, and the output's name.

    Returned graphs that need one another's results in a cycle fail later; for these, any of their steps is
    returned.
    """
    passed: set[Step] = set()
    while True:
        step = step.same_as or step
        if step.expansion is None or step in passed:
            return step, output
        passed.add(step)
        source = next(source for source in step.expansion if source.input == output)
        step, output = source.step, source.output
