"""Expands a node that goes through lists into one step for each element."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.check.bound import Bound
from engine.check.lift import uneven
from engine.errors import NodeError, short
from engine.plan.known_lists import Digests, TooLong, of_element
from engine.plan.plan_errors import too_many
from engine.plan.step import Gather, Source, Step, origin
from engine.plan.step_maker import StepMaker
from engine.values import Json

UNEVEN = "uneven_lists"


class ListsUnknown(Exception):
    """Raised if the number of elements of a node depends on lists that have not been computed yet.

    Args:
        steps: the steps that compute those lists.
    """

    def __init__(self, steps: list[Step]) -> None:
        super().__init__()
        self.steps = steps


@dataclass(slots=True)
class _Given:
    """A literal value of an input."""

    value: Json


@dataclass(slots=True)
class _Wired:
    """The value of a wired input: an output of a step, or the element at `path` of a list output."""

    step: Step
    output: str
    path: tuple[int, ...] = ()
    digest: str = ""
    digests: list[Digests] | None = None
    """The digests of its elements; None if the value is not a list, or not computed yet."""


@dataclass(slots=True)
class _Shape:
    """A tree of the elements of a node: each level is one axis, each leaf has the inputs of one element."""

    id: str
    at: tuple[int, ...]
    inputs: Mapping[str, _Given | _Wired] = field(default_factory=dict)
    inner: list[_Shape] | None = None


def expand_list(builder: StepMaker, gather: Gather) -> list[Step]:
    """Make the steps of all elements of a node that goes through lists.

    Returns:
        the new steps.

    Raises:
        ListsUnknown: a list has not been computed yet.
        NodeError: lists that the node goes through together have different lengths, or there are too many
            elements.
    """
    expansion = _Expansion(builder, gather)
    shape = expansion.shape()
    before = len(builder.order)
    expansion.make_steps(gather, shape)
    return builder.order[before:]


class _Expansion:
    """The expansion of one node that goes through lists."""

    def __init__(self, builder: StepMaker, gather: Gather) -> None:
        assert gather.bound.lift is not None
        self._builder, self._gather = builder, gather
        self._bound, self._lift = gather.bound, gather.bound.lift
        self._room = builder.max_steps - len(builder.order)
        self._unknown: dict[Step, None] = {}

    def shape(self) -> _Shape:
        """Determine the elements and their inputs, without making steps."""
        inputs: dict[str, _Given | _Wired] = {
            name: _Given(value) for name, value in self._bound.literals.items()
        }
        for name, link in self._bound.links.items():
            _, step, output, path, digest = self._builder.source(name, link, self._gather.returned_by)
            inputs[name] = _Wired(step, output, path, digest)
        shape = self._along_axes(self._bound.id, inputs, ())
        if self._unknown:
            raise ListsUnknown(list(self._unknown))
        return shape

    def _along_axes(self, id: str, inputs: Mapping[str, _Given | _Wired], at: tuple[int, ...]) -> _Shape:
        axis = len(at)
        if axis == len(self._lift.axes):
            return _Shape(id, at, inputs)
        rows: dict[str, list[_Given] | list[_Wired]] = {}
        for name, picks in self._lift.axis_of_level.items():
            if axis in picks:
                row = self._elements(inputs[name])
                if row is not None:
                    rows[name] = row
        if self._unknown:
            return _Shape(id, at)
        first = next(iter(rows))
        count = len(rows[first])
        for name, row in rows.items():
            if len(row) != count:
                message, hint = uneven(first, count, name, len(row))
                raise NodeError(message, hint=hint, code=UNEVEN)
        self._room -= count
        if self._room < 0:  # checked here, before a product of lists takes much memory
            raise too_many(self._builder.max_steps)
        inner = []
        for n in range(count):
            own = {**inputs, **{name: row[n] for name, row in rows.items()}}
            inner.append(self._along_axes(f"{id}[{n}]", own, (*at, n)))
        return _Shape(id, at, inner=inner)

    def _elements(self, value: _Given | _Wired) -> list[_Given] | list[_Wired] | None:
        """Return the elements of a list; None if it is not computed yet: then record the step to wait for."""
        if isinstance(value, _Given):
            if not isinstance(value.value, list):
                message = f"the node goes through lists, but {short(value.value)} is not a list"
                raise NodeError(message, code=UNEVEN)
            if len(value.value) > self._room:  # refused before its elements take time
                raise too_many(self._builder.max_steps)
            return [_Given(item) for item in value.value]
        step, output = origin(value.step, value.output)
        if isinstance(step, Gather):
            if step.children is None:
                assert step.list_step is not None
                self._unknown[step.list_step] = None
                return None
            return [_Wired(child, output) for child in step.children]
        digests = value.digests
        if digests is None and not step.may_return_graph:
            try:
                digests = self._builder.lists.digests(step, output, value.path, self._room)
            except TooLong:
                raise too_many(self._builder.max_steps) from None
        if digests is None:
            self._unknown[step] = None
            return None
        return [
            _Wired(
                value.step,
                value.output,
                (*value.path, n),
                of_element(item),
                item if isinstance(item, list) else None,
            )
            for n, item in enumerate(digests)
        ]

    def make_steps(self, gather: Gather, shape: _Shape) -> None:
        """Make the steps of the elements, and a `Gather` for each inner list."""
        bound, children = self._bound, list[Step]()
        axes = len(self._lift.axes)
        outputs = {name: type(kind)(kind.name, kind.lists - axes) for name, kind in bound.outputs.items()}
        for inner in shape.inner or ():
            if inner.inner is not None:
                row = Gather(
                    inner.id,
                    bound,
                    (),
                    (),
                    only_if_asked=gather.only_if_asked,
                    element_index=inner.at,
                    depth=gather.depth,
                )
                self.make_steps(row, inner)
                self._builder.enter(row)
                children.append(row)
                continue
            literals = {name: item.value for name, item in inner.inputs.items() if isinstance(item, _Given)}
            sources = tuple(
                Source(name, item.step, item.output, item.path, item.digest)
                for name, item in inner.inputs.items()
                if isinstance(item, _Wired)
            )
            element = Bound(inner.id, bound.type, literals, {}, outputs, None, bound.list_levels_added)
            step = self._builder.make_step(element, sources, gather.only_if_asked, gather.depth)
            step.element_index = inner.at
            children.append(step)
        gather.set_children(children)
