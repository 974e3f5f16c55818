"""Why a step runs or not, in words: what is different from how its graph was when it last ran."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

from engine.graph import Graph
from engine.history import Record
from engine.renames import Gone
from engine.values import canonical
from engine.was import Environment, Was, digest, environment, link, place
from engine.widgets import FileIn
from engine.wording import changed_type, changed_value, file_name, listed

if TYPE_CHECKING:
    from engine.check import Bound
    from engine.step import Step

_STATES = {
    "failed": "failed last time",
    "cancelled": "cancelled last time",
    "skipped": "not reached last time",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """What makes a step another one than it was."""

    own: str
    """As said of the step itself: `prompt changed`."""
    far: str
    """As said of a step that depends on it: ``prompt changed in `text` ``."""


class Reasons:
    """Compares the steps of one plan with how its graph was.

    Args:
        record: how it was.
        graph: the document as it is.
        device: the kind of device that accelerator nodes would compute on.
    """

    def __init__(self, record: Record, graph: Graph, device: str) -> None:
        self.record = record
        self._graph, self._device = graph, device
        self._causes: dict[str, Cause | None] = {}  # by id, so that no plan waits for the garbage collector
        self._was: dict[str, str] = {}  # the id that each node of the plan had
        self._gone: Gone | None = None
        self._lock = Lock()

    def why(self, step: Step) -> str:
        """Why a step that is to run has no result yet."""
        with self._lock:
            cause = self._found(step)
        if cause is not None:
            return cause.own
        if step.late:
            return "what it depends on is known only during the run"
        return _STATES.get(self.record.nodes[self._was[step.id]].state, "evicted")

    def _found(self, step: Step) -> Cause | None:
        """What makes a step another one than it was; None if nothing does."""
        ahead = [step]
        while ahead:
            nearest = ahead[-1]
            if nearest.id not in self._causes:
                waiting = [other for other in _before(nearest) if other.id not in self._causes]
                if waiting:
                    ahead += reversed(waiting)
                    continue
                self._causes[nearest.id] = self._cause(nearest)
            ahead.pop()
        return self._causes[step.id]

    def _cause(self, step: Step) -> Cause | None:
        if (elements := _elements(step)) is not None:
            first = self._was.get(elements[0].id, "") if elements else ""
            self._was[step.id] = first.rpartition("[")[0] or step.id
            return next((cause for element in elements if (cause := self._causes[element.id])), None)
        old = self._old(step)
        if old is None:
            return Cause("new: never run in this graph", f"`{step.id}` is new")
        self._was[step.id] = old
        was = self.record.nodes[old]
        if was.key is not None and was.key == step.key:
            return None
        if not step.bound.type.pure:
            return Cause(_always(step), f"`{step.id}` acts on the world")
        return self._own(step, was) or self._far(step, was)

    def _far(self, step: Step, was: Was) -> Cause | None:
        """The first difference that a step takes over from those before it."""
        unread = step.bound.type.lazy - (step.asked or frozenset())
        for source in step.sources:
            name = source.input
            if name in unread:
                continue
            if source.digest and source.digest == was.links.get(name, ("", "", ""))[2]:
                continue  # the same element as it was, whatever happened to the list around it
            if cause := self._causes[source.step.id]:
                return Cause(cause.far, cause.far)
            if source.digest:
                return Cause(f"{name} changed", f"{name} changed in `{step.id}`")
        if was.key is not None and step.key is not None:
            return Cause("Safelight itself changed", "Safelight itself changed")
        return None

    def _own(self, step: Step, was: Was) -> Cause | None:
        """The first difference that no other node makes."""
        bound = step.bound
        inside = f" in `{step.id}`"
        if words := changed_type(bound.type.name, bound.type.version, was.type, was.version):
            return Cause(words, words + inside if bound.type.name != was.type else words)
        if bound.type.code != was.code:
            return Cause("its code changed", f"the code of `{step.id}` changed")
        if changed := _changed(step, was):
            words = _literals(bound, was, changed)
            short = words if words.endswith(" changed") else f"{listed(changed)} changed"
            return Cause(words, short + inside)
        if words := self._wires(step, was):
            return Cause(words, words + inside)
        reads = None if step.fingerprint is None else digest(step.fingerprint)
        if reads != was.reads and step.key is not None:
            names = listed([f"`{file_name(bound.literals[name])}`" for name in _files(bound)], " or ")
            words = f"{names or 'what it reads'} changed"
            return Cause(words, words + inside)
        if words := _machine(environment(bound.type, self._device), was.environment):
            return Cause(words, words)
        return None

    def _wires(self, step: Step, was: Was) -> str:
        """What is different about the wires, apart from what they bring."""
        now = {source.input: link(source) for source in step.sources}
        before = {name: (node, output) for name, (node, output, _) in was.links.items()}
        after = {name: (self._was.get(node, ""), output) for name, (node, output, _) in now.items()}
        changed = [name for name in {**before, **after} if after.get(name) != before.get(name)]
        unread = step.bound.type.lazy - (step.asked or frozenset())
        changed = [name for name in changed if name not in unread]
        if len(changed) > 1:
            return f"{listed(changed)} are wired otherwise"
        for name in changed:
            if name not in now:
                return f"{name} no longer comes from `{before[name][0]}`"
            node, output, _ = now[name]
            same = name in before and before[name][0] == after[name][0]
            return f"{name} now comes from `{node}.{output}`" if same else f"{name} now comes from `{node}`"
        return ""

    def _old(self, step: Step) -> str | None:
        """The id that a step had, by which the record knows it."""
        nodes = self.record.nodes
        if step.id in nodes:
            return step.id
        if (alike := self._alike(step.id)) is not None:
            return alike
        if self._gone is None:
            gone = [node for node in nodes if place(node) not in self._graph.nodes]
            self._gone = Gone({node: _marks_of(nodes[node]) for node in gone})
        return self._gone.take(self._marks(step))

    def _alike(self, id: str) -> str | None:
        """Of an element of a list, the single step that its node was; of a single step, its first element."""
        head, _, rest = id.partition("[")
        if rest:
            return head if head in self.record.nodes else None
        return self._elements_were.get(id)

    @cached_property
    def _elements_were(self) -> dict[str, str]:
        """By node, the first of the elements that it went through."""
        first: dict[str, str] = {}
        for node in self.record.nodes:
            head, _, rest = node.partition("[")
            if rest and "/" not in rest:
                first.setdefault(head, node)
        return first

    def _marks(self, step: Step) -> Iterator[Hashable]:
        if step.key is not None:
            yield step.key
        literals = {name: digest(value) for name, value in step.bound.literals.items()}
        links = {source.input: link(source) for source in step.sources}
        old = {name: (self._was.get(node, ""), *rest) for name, (node, *rest) in links.items()}
        yield _mark(step.bound.type.name, literals, old)


def _before(step: Step) -> list[Step]:
    """The steps that a step's causes may come from."""
    elements = _elements(step)
    return [source.step for source in step.sources] if elements is None else elements


def _elements(step: Step) -> list[Step] | None:
    """The steps behind a node that goes through lists; None for any other."""
    elements = list(step.elements())
    return None if elements == [step] else elements


def _marks_of(was: Was) -> Iterator[Hashable]:
    if was.key is not None:
        yield was.key
    literals = {name: digest(value) for name, value in was.literals.items()}
    yield _mark(was.type, {**literals, **was.long}, was.links)


def _mark(name: str, literals: Mapping[str, str], links: Mapping[str, tuple[str, ...]]) -> Hashable:
    return name, frozenset(literals.items()), frozenset(links.items())


def _changed(step: Step, was: Was) -> list[str]:
    """The literals that are others than they were, or that have come or gone without a wire."""
    wired = {*was.links, *(source.input for source in step.sources)}
    unread = step.bound.type.lazy - (step.asked or frozenset())
    names = {**step.bound.literals, **was.literals, **was.long}.keys() - wired - unread
    return [name for name in step.bound.type.inputs if name in names and not _same(name, step.bound, was)]


def _same(name: str, bound: Bound, was: Was) -> bool:
    if name not in bound.literals:
        return False
    now = bound.literals[name]
    if name in was.long:
        return was.long[name] == digest(now)
    return name in was.literals and canonical(was.literals[name]) == canonical(now)


def _literals(bound: Bound, was: Was, changed: Sequence[str]) -> str:
    """What changed, with both values where it is one that both fit into a line."""
    if len(changed) == 1 and changed[0] in bound.literals and changed[0] in was.literals:
        name = changed[0]
        now, before = bound.literals[name], was.literals[name]
        if name in _files(bound):
            now, before = file_name(now), file_name(before)
            if now == before:
                return f"`{now}` changed"
        return changed_value(name, now, before)
    return f"{listed(changed)} changed"


def _files(bound: Bound) -> list[str]:
    """The inputs that name a file."""
    return [
        name
        for name, item in bound.type.inputs.items()
        if name in bound.literals and any(isinstance(extra, FileIn) for extra in item.info.metadata)
    ]


def _machine(now: Environment | None, was: Environment | None) -> str:
    """What is different about the machine."""
    device, libraries = now or ("", {})
    device_was, libraries_were = was or ("", {})
    words = [f"the device is now {device}"] if device not in ("", device_was) else []
    words += [
        f"{name} is now {release}"
        for name, release in libraries.items()
        if libraries_were.get(name) != release
    ]
    return listed(words)


def _always(step: Step) -> str:
    return f"{step.bound.type.name} acts on the world, so it always runs"
