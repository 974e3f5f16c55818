"""Finds why a step must run: the first difference between the step and its previous run."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

from engine.document.graph import Graph
from engine.explain.history import Record
from engine.explain.past_node import Machine, PastNode, digest, link, machine_of, place
from engine.explain.renames import Renames
from engine.explain.wording import always, changed_type, changed_value, file_name, listed
from engine.values import canonical
from engine.widgets import FileIn

if TYPE_CHECKING:
    from engine.check.bound import Bound
    from engine.plan.step import Step


@dataclass(frozen=True, slots=True)
class Cause:
    """The first difference between a step and its previous run."""

    own: str
    """The reason as given for the step itself: `prompt changed`."""
    far: str
    """The reason as given for a step that depends on it: ``prompt changed in `text` ``."""


class Causes:
    """Compares the steps of one plan with the previous run of the same graph.

    Args:
        record: the record of the previous run.
        graph: the graph as it is now.
        compute: the compute settings of accelerator nodes, as text.
    """

    def __init__(self, record: Record, graph: Graph, compute: str) -> None:
        self._record, self._graph, self._compute = record, graph, compute
        self._causes: dict[str, Cause | None] = {}
        self._old_ids: dict[str, str] = {}  # id of a step -> its id in the record
        self._gone: Renames | None = None
        self._lock = Lock()

    def of(self, step: Step) -> Cause | None:
        """Find the first difference between a step and its previous run; None if there is none."""
        with self._lock:
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

    def past(self, step: Step) -> PastNode:
        """Return the state of a step in the previous run; call it only if `of` has returned None."""
        return self._record.nodes[self._old_ids[step.id]]

    def _cause(self, step: Step) -> Cause | None:
        if (elements := _elements(step)) is not None:
            first = self._old_ids.get(elements[0].id, "") if elements else ""
            place_in_list = elements[0].id.removeprefix(step.id) if elements else ""
            is_list = bool(place_in_list) and first.endswith(place_in_list)
            self._old_ids[step.id] = first.removesuffix(place_in_list) if is_list else step.id
            return next((cause for element in elements if (cause := self._causes[element.id])), None)
        old = self._old_id(step)
        if old is None:
            return Cause("new: never run in this graph", f"`{step.id}` is new")
        self._old_ids[step.id] = old
        past = self._record.nodes[old]
        if past.key is not None and past.key == step.key:
            return None
        if not step.bound.type.pure:
            return Cause(always(step.bound.type.name), f"`{step.id}` has side effects")
        return self._own(step, past) or self._far(step, past)

    def _far(self, step: Step, past: PastNode) -> Cause | None:
        """Find the first difference in the steps that a step depends on; None if there is none."""
        unread = step.bound.type.lazy - (step.asked or frozenset())
        for source in step.sources:
            name = source.input
            if name in unread:
                continue
            if source.digest and source.digest == past.links.get(name, ("", "", ""))[2]:
                continue  # the element itself is unchanged, although its list may have changed
            if cause := self._causes[source.step.id]:
                return Cause(cause.far, cause.far)
            if source.digest:
                return Cause(f"{name} changed", f"{name} changed in `{step.id}`")
        if past.key is not None and step.key is not None:
            return Cause("Safelight itself changed", "Safelight itself changed")
        return None

    def _own(self, step: Step, past: PastNode) -> Cause | None:
        """Find a difference in the node itself (type, code, literals, wires, files, machine), or None."""
        bound = step.bound
        inside = f" in `{step.id}`"
        if words := changed_type(bound.type.name, bound.type.version, past.type, past.version):
            return Cause(words, words + inside if bound.type.name != past.type else words)
        if bound.type.code != past.code:
            return Cause("its code changed", f"the code of `{step.id}` changed")
        if changed := _changed(step, past):
            words = _literals(bound, past, changed)
            short = words if words.endswith(" changed") else f"{listed(changed)} changed"
            return Cause(words, short + inside)
        if words := self._wires(step, past):
            return Cause(words, words + inside)
        reads = None if step.fingerprint is None else digest(step.fingerprint)
        if reads != past.reads and step.key is not None:
            names = listed([f"`{file_name(bound.literals[name])}`" for name in _files(bound)], " or ")
            words = f"{names or 'the data that it reads'} changed"
            return Cause(words, words + inside)
        if words := _machine(machine_of(bound.type, self._compute), past.machine):
            return Cause(words, words)
        return None

    def _wires(self, step: Step, past: PastNode) -> str:
        """Describe the difference between the wires to a step's inputs; empty if there is none."""
        now = {source.input: link(source) for source in step.sources}
        before = {name: (node, output) for name, (node, output, _) in past.links.items()}
        # A node that the previous run did not reach has no record, but the wire to it has not changed.
        after = {name: (self._old_ids.get(node, node), output) for name, (node, output, _) in now.items()}
        changed = [name for name in {**before, **after} if after.get(name) != before.get(name)]
        unread = step.bound.type.lazy - (step.asked or frozenset())
        changed = [name for name in changed if name not in unread]
        if len(changed) > 1:
            return f"{listed(changed)} are connected differently"
        for name in changed:
            if name not in now:
                return f"{name} no longer comes from `{before[name][0]}`"
            node, output, _ = now[name]
            same = name in before and before[name][0] == after[name][0]
            return f"{name} now comes from `{node}.{output}`" if same else f"{name} now comes from `{node}`"
        return ""

    def _old_id(self, step: Step) -> str | None:
        """Find the id that a step had in the previous run; None if it was not part of that run."""
        nodes = self._record.nodes
        if step.id in nodes:
            return step.id
        if (alike := self._alike(step.id)) is not None:
            return alike
        if self._gone is None:
            gone = [node for node in nodes if place(node) not in self._graph.nodes]
            self._gone = Renames({node: _marks_of(nodes[node]) for node in gone})
        return self._gone.take(self._marks(step))

    def _alike(self, id: str) -> str | None:
        """Find the id in the record of a node that goes through lists now but did not then, or vice versa."""
        head, _, rest = id.partition("[")
        if rest:
            return head if head in self._record.nodes else None
        return self._first_elements.get(id)

    @cached_property
    def _first_elements(self) -> dict[str, str]:
        """For each node that went through lists in the previous run, the id of its first element."""
        first: dict[str, str] = {}
        for node in self._record.nodes:
            head, _, rest = node.partition("[")
            if rest and "/" not in rest:
                first.setdefault(head, node)
        return first

    def _marks(self, step: Step) -> Iterator[Hashable]:
        """Yield values by which `Renames` recognises a step that has another id in the record."""
        if step.key is not None:
            yield step.key
        literals = {name: digest(value) for name, value in step.bound.literals.items()}
        links = {source.input: link(source) for source in step.sources}
        old = {name: (self._old_ids.get(node, ""), *rest) for name, (node, *rest) in links.items()}
        yield _mark(step.bound.type.name, literals, old)


def _before(step: Step) -> list[Step]:
    """Return the steps whose causes must be known first: the list elements of a step, or its sources."""
    elements = _elements(step)
    return [source.step for source in step.sources] if elements is None else elements


def _elements(step: Step) -> list[Step] | None:
    """Return the element steps of a node that goes through lists; None for any other node."""
    elements = list(step.elements())
    return None if elements == [step] else elements


def _marks_of(past: PastNode) -> Iterator[Hashable]:
    if past.key is not None:
        yield past.key
    literals = {name: digest(value) for name, value in past.literals.items()}
    yield _mark(past.type, {**literals, **past.long}, past.links)


def _mark(name: str, literals: Mapping[str, str], links: Mapping[str, tuple[str, ...]]) -> Hashable:
    return name, frozenset(literals.items()), frozenset(links.items())


def _changed(step: Step, past: PastNode) -> list[str]:
    """Return the names of the literal inputs that differ, or that only one of the two runs has."""
    wired = {*past.links, *(source.input for source in step.sources)}
    unread = step.bound.type.lazy - (step.asked or frozenset())
    names = {**step.bound.literals, **past.literals, **past.long}.keys() - wired - unread
    return [name for name in step.bound.type.inputs if name in names and not _same(name, step.bound, past)]


def _same(name: str, bound: Bound, past: PastNode) -> bool:
    if name not in bound.literals:
        return False
    now = bound.literals[name]
    if name in past.long:
        return past.long[name] == digest(now)
    return name in past.literals and canonical(past.literals[name]) == canonical(now)


def _literals(bound: Bound, past: PastNode, changed: Sequence[str]) -> str:
    """Describe the changed literals; a single one with its old and new value if these are short."""
    if len(changed) == 1 and changed[0] in bound.literals and changed[0] in past.literals:
        name = changed[0]
        now, before = bound.literals[name], past.literals[name]
        if name in _files(bound):
            now, before = file_name(now), file_name(before)
            if now == before:
                return f"`{now}` changed"
        return changed_value(name, now, before)
    return f"{listed(changed)} changed"


def _files(bound: Bound) -> list[str]:
    """Return the names of the literal inputs that name a file; an empty value names none."""
    return [
        name
        for name, item in bound.type.inputs.items()
        if bound.literals.get(name) and any(isinstance(extra, FileIn) for extra in item.info.metadata)
    ]


def _machine(now: Machine | None, was: Machine | None) -> str:
    """Describe the difference in compute settings and library versions; empty if there is none."""
    settings, releases = now or ("", {})
    settings_before, releases_before = was or ("", {})
    words = [f"computed on {settings} now"] if settings not in ("", settings_before) else []
    words += [
        f"{name} is now {release}"
        for name, release in releases.items()
        if releases_before.get(name) != release
    ]
    return listed(words)
