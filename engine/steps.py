"""Makes steps of bound nodes: one for a node, one for each element where a node goes through lists.

Most steps are made when a run is planned. Those that depend on a list, a choice or a graph that only running
brings are made while it runs, by the same rules.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.check import OUTSIDE, Bound, Checked, signature
from engine.errors import NodeError, Problem, explained, short
from engine.files import Files
from engine.fingerprints import Wired, fingerprint
from engine.graph import MAX_NODES, From
from engine.keys import step_key
from engine.lazy import Lazy
from engine.lift import uneven
from engine.node import NodeType
from engine.reasons import Reasons
from engine.step import Gather, Source, Spread, Step
from engine.store.store import Store
from engine.values import Json, Packed, canonical, pack, sha256, split

ValueOf = Callable[[Step, str], object]
"""The value of an output of a step that is done; raises KeyError if it is not at hand."""


def not_running(step: Step, output: str) -> object:
    """A `ValueOf` for while nothing runs."""
    raise KeyError(output)


UNEVEN = "uneven_lists"


class Lacking(Exception):
    """What a step will be cannot be said before other steps are done: the argument is the list of those."""

    @property
    def steps(self) -> list[Step]:
        """The steps."""
        found: list[Step] = self.args[0]
        return found


@dataclass(slots=True)
class _Given:
    """A value, for one input of one element, that is known as it is."""

    value: Json


@dataclass(slots=True)
class _Made:
    """A value that a step makes; or, along `path`, an element of a list that it makes."""

    step: Step
    output: str
    path: tuple[int, ...] = ()
    digest: str = ""
    """Of an element, what it is."""
    listed: object = None
    """Digests of what is in it, nested as it is, if it is a list and somebody has looked."""


@dataclass(slots=True)
class _Shape:
    """What a node that goes through lists comes to: its elements, or one of them."""

    id: str
    at: tuple[int, ...]
    inputs: Mapping[str, _Given | _Made] = field(default_factory=dict)
    inner: list[_Shape] | None = None


class Steps:
    """All steps of a plan, by id, and how further ones are made.

    Args:
        checked: a graph without errors.
        store: where lists may lie that decide how many elements there are.
        files: what nodes that read files are shown.
        device: the kind of device that accelerator nodes would compute on.
        reasons: what compares the steps with how their graph was, if that is remembered.
    """

    def __init__(
        self, checked: Checked, store: Store, files: Files, device: str, reasons: Reasons | None = None
    ) -> None:
        self.by_id: dict[str, Step] = {}
        self.order: list[Step] = []
        """The same, as they were made: parents first."""
        self.leaders: dict[str, Step] = {}
        """The first step of each key."""
        self.value_of: ValueOf = not_running
        self.reasons = reasons
        self.checked, self._store, self._files, self._device = checked, store, files, device
        self._nonce = os.urandom(16).hex()
        self._room = 0  # for how many more elements, of the node whose lists are gone through

    def add(self, bound: Bound, maybe: bool = False, around: Step | None = None) -> Step:
        """The step of a bound node, whose parents have theirs already.

        Args:
            bound: the node.
            maybe: True if it is needed only in case a lazy input is asked for.
            around: the step that returned the graph that the node is in.

        Raises:
            Unreadable: a file that it reads cannot be read.
            NodeError: the lists that it goes through do not go together.
        """
        depth = 0 if around is None else around.depth + 1
        if bound.lift is None:
            links, lazy = bound.links, bound.type.lazy
            if lazy:  # what nobody will ask for is not planned
                known = self.by_id
                links = {
                    name: link
                    for name, link in links.items()
                    if name not in lazy or link.node in known or link.node == OUTSIDE
                }
            sources = tuple([self._source(name, link, around) for name, link in links.items()])
            return self._step(bound, sources, maybe, depth)
        gather = Gather(bound.id, bound, (), (), maybe=maybe, depth=depth, around=around)
        try:
            self.spread(gather)
        except Lacking as lacking:
            self._put_off(gather, lacking.steps)
        except NodeError as error:
            if error.code != UNEVEN:
                raise
            self._put_off(gather, [])  # it will fail when it runs, and alone
        self._enter(gather)
        if gather.spread is not None:
            gather.spread.index = gather.index
        return gather

    def _put_off(self, gather: Gather, lacks: Iterable[Step]) -> None:
        """Leave it to the run to find out what the elements are."""
        spread = Spread(gather.id, gather.bound, (), (), keep=False, maybe=gather.maybe, gather=gather)
        gather.lacks, gather.spread, gather.parents, gather.late = tuple(lacks), spread, (spread,), True
        links = gather.bound.links.items()
        gather.later = tuple([self._source(name, link, gather.around).step for name, link in links])

    def spread(self, gather: Gather) -> list[Step]:
        """Find out what the elements of a node are, and make their steps.

        Raises:
            Lacking: that cannot be said yet.
            NodeError: the lists do not go together.
        """
        bound, lacking = gather.bound, list[Step]()
        inputs: dict[str, _Given | _Made] = {name: _Given(value) for name, value in bound.literals.items()}
        for name, link in bound.links.items():
            _, step, output, path, digest = self._source(name, link, gather.around)
            inputs[name] = _Made(step, output, path, digest)
        self._room = MAX_NODES - len(self.order)
        shape = self._shape(bound, bound.id, inputs, (), lacking)
        if lacking:
            raise Lacking(list(dict.fromkeys(lacking)))
        before = len(self.order)
        self._grow(gather, shape)
        return self.order[before:]

    def decide(self, step: Step, inputs: Mapping[str, object]) -> None:
        """Say which of its lazy inputs a step will read, given the others."""
        step.asked = asked(step.bound.type, inputs)

    def key(self, step: Step, fingerprint: Json) -> str | None:
        """The key of a step; None while something that it depends on is not known."""
        node_type = step.bound.type
        lazy, wires = node_type.lazy, ""
        for source in step.sources:
            if lazy and source.input in lazy and source.input not in (step.asked or ()):
                continue
            identity = source.identity
            if identity is None:
                return None
            wires += f"\n{source.input}={identity}"
        if lazy and step.asked:
            for name in sorted(step.asked & step.bound.literals.keys()):
                wires += f"\n{name}=!{sha256(canonical(step.bound.literals[name]))}"
        world = fingerprint
        if not node_type.pure:
            world = [fingerprint, self._nonce, step.id]
        return step_key(step.bound.signature, node_type, wires, world, self._device)

    def leads(self, step: Step) -> Step:
        """The step that computes what has this step's key: itself, or an equal one.

        Raises:
            NodeError: that is the very step whose node returned the graph that this one is in.
        """
        assert step.key is not None
        leader = self.leaders.setdefault(step.key, step)
        if leader is not step and step.id.startswith(f"{leader.id}/"):
            raise circular()
        return leader

    def _source(self, name: str, link: From, around: Step | None) -> Source:
        if link.node == OUTSIDE and around is not None:
            found = next(source for source in around.sources if source.input == link.output)
            return found._replace(input=name)
        return Source(name, self.by_id[link.node], link.output)

    # Making one step.

    def _enter(self, step: Step) -> None:
        step.index = len(self.order)
        if step.index >= MAX_NODES:
            raise _too_many()
        self.by_id[step.id] = step
        step.reasons = self.reasons
        self.order.append(step)

    def _step(self, bound: Bound, sources: tuple[Source, ...], maybe: bool, depth: int) -> Step:
        node_type = bound.type
        parents = tuple([source.step for source in sources])
        if len(parents) > 1:
            parents = tuple(dict.fromkeys(parents))
        step = Step(bound.id, bound, sources, parents, None, node_type.pure)
        step.maybe, step.depth = maybe, depth
        if node_type.lazy:
            self._choose(step)
        known = not node_type.lazy or step.asked is not None
        for parent in step.parents:
            if not parent.keep:
                step.keep = False
        if node_type.reads_world and known:
            wired = [source.input for source in sources]
            try:
                step.fingerprint = fingerprint(node_type, bound.literals, wired, self._files)
            except Wired:  # which file it reads, another step says
                known = False
            except Exception as error:  # the code of a node pack may raise anything
                if not maybe:
                    raise Unreadable(explained(error, step.id, node_type.name)[0]) from error
                known = False
        if known:
            step.key = self.key(step, step.fingerprint)
        if step.key is None:
            step.late = True
        else:
            leader = self.leads(step)
            if leader is not step:
                step.action, step.leader = "share", leader
        self._enter(step)
        return step

    def _choose(self, step: Step) -> None:
        """Decide on lazy inputs now if that depends on values that are known; keep only what may be read."""
        lazy = step.bound.type.lazy
        eager = tuple(source for source in step.sources if source.input not in lazy)
        if not eager:
            try:
                self.decide(step, step.bound.literals)
            except Exception as error:
                raise Unreadable(explained(error, step.id, step.bound.type.name)[0]) from error
            asked = step.asked or frozenset()
            step.sources = tuple(source for source in step.sources if source.input in asked)
            eager = step.sources
        step.parents = tuple(dict.fromkeys([source.step for source in eager]))
        if step.asked is None:
            step.later = tuple([source.step for source in step.sources if source.input in lazy])
        for source in step.sources:
            if not source.step.keep:
                step.keep = False

    # Going through lists.

    def _shape(
        self,
        bound: Bound,
        id: str,
        inputs: Mapping[str, _Given | _Made],
        at: tuple[int, ...],
        lacking: list[Step],
    ) -> _Shape:
        lift = bound.lift
        assert lift is not None
        axis = len(at)
        if axis == len(lift.axes):
            return _Shape(id, at, inputs)
        rows: dict[str, list[_Given] | list[_Made]] = {}
        for name, picks in lift.picks.items():
            if axis in picks:
                row = self._elements(inputs[name], lacking)
                if row is not None:
                    rows[name] = row
        if lacking:
            return _Shape(id, at)
        first = next(iter(rows))
        count = len(rows[first])
        for name, row in rows.items():
            if len(row) != count:
                message, hint = uneven(first, count, name, len(row))
                raise NodeError(message, hint=hint, code=UNEVEN)
        self._room -= count
        if self._room < 0:  # before they take the memory that a product of lists may come to
            raise _too_many()
        inner = []
        for n in range(count):
            own = {**inputs, **{name: row[n] for name, row in rows.items()}}
            inner.append(self._shape(bound, f"{id}[{n}]", own, (*at, n), lacking))
        return _Shape(id, at, inner=inner)

    def _elements(self, value: _Given | _Made, lacking: list[Step]) -> list[_Given] | list[_Made] | None:
        """What a list holds; None, and whom to wait for, if that is not known yet."""
        if isinstance(value, _Given):
            if not isinstance(value.value, list):
                raise NodeError(f"goes through lists, and {short(value.value)} is none", code=UNEVEN)
            return [_Given(item) for item in value.value]
        step = value.step
        if isinstance(step, Gather):
            if step.children is None:
                assert step.spread is not None
                lacking.append(step.spread)
                return None
            return [_Made(child, value.output) for child in step.children]
        listed = value.listed if value.listed is not None else self._listed(step, value.output, value.path)
        if listed is None:
            lacking.append(step)
            return None
        assert isinstance(listed, list)
        return [
            _Made(step, value.output, (*value.path, n), _digest(item), item) for n, item in enumerate(listed)
        ]

    def _listed(self, step: Step, output: str, path: tuple[int, ...]) -> object:
        """Digests of what is in a list that a step made, or in one in that; None if it is not at hand."""
        depth = step.bound.outputs[output].lists - len(path)
        lead = step.leader or step
        try:
            value: Any = self.value_of(lead, output)
        except KeyError:
            pass
        else:
            for index in path:
                value = value[index]
            place = "".join(f".{index}" for index in path)
            return _digests(value, depth, f"{step.id}.{output}{self._nonce}{place}")
        packed = self._store.packed(lead.key, output) if lead.key is not None and lead.keep else None
        if packed is None:
            return None

        for index in path:
            packed = split(packed)[index]

        def digests(packed: Packed, depth: int) -> object:
            return packed.digest if not depth else [digests(item, depth - 1) for item in split(packed)]

        return digests(packed, depth)

    def _grow(self, gather: Gather, shape: _Shape) -> None:
        """Make the steps of the elements."""
        bound, children = gather.bound, list[Step]()
        axes = len(bound.lift.axes) if bound.lift is not None else 0
        for inner in shape.inner or ():
            if inner.inner is not None:
                row = Gather(inner.id, bound, (), (), maybe=gather.maybe, at=inner.at, depth=gather.depth)
                self._grow(row, inner)
                self._enter(row)
                children.append(row)
                continue
            literals = {name: item.value for name, item in inner.inputs.items() if isinstance(item, _Given)}
            sources = tuple(
                Source(name, item.step, item.output, item.path, item.digest)
                for name, item in inner.inputs.items()
                if isinstance(item, _Made)
            )
            outputs = {name: type(kind)(kind.name, kind.lists - axes) for name, kind in bound.outputs.items()}
            one = Bound(
                inner.id,
                bound.type,
                literals,
                {},
                signature(bound.type, literals),
                outputs,
                None,
                bound.wraps,
            )
            step = self._step(one, sources, gather.maybe, gather.depth)
            step.at = inner.at
            children.append(step)
        gather.grown(children)


class Unreadable(Exception):
    """A step cannot be planned; the argument is the problem."""

    @property
    def problem(self) -> Problem:
        """The problem."""
        found: Problem = self.args[0]
        return found


def circular() -> NodeError:
    """What is wrong with a node whose graph needs that node's own result."""
    hint = "give the node in the graph other inputs, such as a count that goes down"
    return NodeError("returned a graph that comes down to itself", hint=hint, code="recursion")


def asked(node_type: NodeType, inputs: Mapping[str, object]) -> frozenset[str]:
    """Which lazy inputs a node reads, given the others.

    Raises:
        TypeError: it names one that it does not have.
    """
    given = {name: Lazy() if name in node_type.lazy else value for name, value in inputs.items()}
    given |= {name: Lazy() for name in node_type.lazy}
    named = frozenset(node_type.cls(**given).asks())
    if not named <= node_type.lazy:
        strange = ", ".join(map(short, sorted(named - node_type.lazy)))
        raise TypeError(f"asks() names {strange}; its lazy inputs are {', '.join(sorted(node_type.lazy))}")
    return named


def _too_many() -> NodeError:
    message = f"with its lists gone through, the graph comes to more than {MAX_NODES:,} steps"
    return NodeError(message, hint="make the lists shorter, or run parts of them", code="too_many")


def _digests(value: object, depth: int, otherwise: str) -> object:
    if depth:
        assert isinstance(value, list | tuple)
        return [_digests(item, depth - 1, f"{otherwise}.{n}") for n, item in enumerate(value)]
    try:
        return pack(value).digest
    except (TypeError, ValueError):  # it does not become bytes, so nothing that follows it can be kept
        return sha256(otherwise.encode())


def _digest(listed: object) -> str:
    """What an element is, of which `listed` is the digest or, if it is a list, the digests in it."""
    return listed if isinstance(listed, str) else sha256(canonical(listed))


def targets_of(checked: Checked, names: Iterable[str]) -> tuple[Sequence[str], list[str]]:
    """The nodes that targets stand for (of a subgraph, those its outputs come from), and unknown names."""
    found: dict[str, None] = {}
    unknown = []
    for name in names:
        if name in checked.ends:
            found |= dict.fromkeys(checked.ends[name])
        elif name in checked.steps:
            found[name] = None
        else:
            unknown.append(name)
    return tuple(found), unknown
