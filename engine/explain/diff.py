"""Compares two graphs: added, removed and renamed nodes, and changed inputs."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal as OneOf

from engine.check.order import sort_nodes
from engine.document.graph import Binding, Entry, From, Graph, GraphInput, Literal, Param
from engine.document.writer import binding_json
from engine.explain.renames import Renames
from engine.explain.wording import changed_type, changed_value, listed
from engine.values import Json, canonical

What = OneOf[
    "added", "removed", "renamed", "type", "input", "off", "lift", "moved", "title", "doc",
    "declared_input", "declared_output", "passes", "graph",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two graphs: its kind, both values, and a description."""

    what: What
    says: str
    node: str | None = None
    """The id of the node in the newer graph; `#name/node` for a node of the subgraph `#name`."""
    name: str | None = None
    """The name of the node's input, or of the graph's input or output."""
    was: Json = None
    now: Json = None

    def __str__(self) -> str:
        return f"`{self.node}`: {self.says}" if self.node else self.says

    def as_json(self) -> dict[str, Json]:
        """Convert this difference to JSON; `was` and `now` have the form of a graph file."""
        return {
            "what": self.what,
            "node": self.node,
            "name": self.name,
            "was": self.was,
            "now": self.now,
            "says": self.says,
        }


def diff(was: Graph, now: Graph, *, everything: bool = False) -> list[Change]:
    """List the differences between two graphs, in the order of the newer graph.

    Args:
        was: the older graph.
        now: the newer graph.
        everything: True to include differences without effect on results: titles, descriptions and layout.
    """
    return list(_graphs(was, now, "", everything))


def _graphs(was: Graph, now: Graph, place: str, everything: bool) -> Iterator[Change]:
    of = f" of {place[:-1]}" if place else ""
    if everything:
        for what in ("title", "doc"):
            if (before := getattr(was, what)) != (after := getattr(now, what)):
                yield Change(what, f"the {what} of the graph{of} changed", was=before, now=after)
    yield from _inputs(was, now, of, everything)
    old = _renames(was, now)
    new = {before: node for node, before in old.items()}
    for node, entry in now.nodes.items():
        if node not in old:
            yield Change("added", f"is new ({entry.type})", place + node, now=entry.type)
            continue
        before = old[node]
        if node != before:
            yield Change("renamed", f"was `{before}`", place + node, was=before, now=node)
        yield from _entry(was.nodes[before], entry, place + node, new, everything)
        spots = was.layout.get(before), now.layout.get(node)
        if everything and spots[0] != spots[1]:
            yield Change("moved", "was moved", place + node, None, _json(spots[0]), _json(spots[1]))
    for node, entry in was.nodes.items():
        if node not in new:
            yield Change("removed", f"was removed ({entry.type})", place + node, was=entry.type)
    yield from _outputs(was, now, of, new)
    if was.passes != now.passes:
        says = f'"passes" of the graph{of} changed'
        yield Change("passes", says, was=dict(was.passes), now=dict(now.passes))
    for name in {**now.graphs, **was.graphs}:
        if name in now.graphs and name in was.graphs:
            yield from _graphs(was.graphs[name], now.graphs[name], f"{place}#{name}/", everything)
        else:
            yield Change("graph", f"the graph {place}#{name} is {_come(name in now.graphs)}", name=name)


def _entry(was: Entry, now: Entry, node: str, new: Mapping[str, str], everything: bool) -> Iterator[Change]:
    if was.type != now.type:
        words = f"{now.type} replaces {was.type}"
        if was.version is not None and now.version is not None:
            words = changed_type(now.name, now.version, was.name, was.version)
        yield Change("type", words, node, was=was.type, now=now.type)
    if was.off != now.off:
        yield Change("off", "is off now" if now.off else "is on again", node, was=was.off, now=now.off)
    if was.lift != now.lift:
        yield Change("lift", f"lift is {now.lift}, was {was.lift}", node, was=was.lift, now=now.lift)
    if everything and was.title != now.title:
        yield Change("title", "title changed", node, was=was.title, now=now.title)
    for name in {**now.inputs, **was.inputs}:
        before, after = was.inputs.get(name), now.inputs.get(name)
        if _spelled(before, new) != _spelled(after, {}):
            says = _bound(name, before, after, new)
            yield Change("input", says, node, name, _binding(before), _binding(after))


def _bound(name: str, was: Binding | None, now: Binding | None, new: Mapping[str, str]) -> str:
    match was, now:
        case Literal(before), Literal(after):
            return changed_value(name, after, before)
        case From(node, _), From() if new.get(node) == now.node:
            return f"{name} now comes from `{now}`"
        case _, From():
            return f"{name} now comes from `{now.node}`"
        case _, Param():
            return f"{name} now takes the graph's input `{now.name}`"
        case From(), _:
            return f"{name} no longer comes from `{was.node}`"
        case Param(), _:
            return f"{name} no longer takes the graph's input `{was.name}`"
    return f"{name} is {'its default again' if now is None else 'no longer its default'}"


def _inputs(was: Graph, now: Graph, of: str, everything: bool) -> Iterator[Change]:
    for name in {**now.inputs, **was.inputs}:
        before, after = (_declared(graph.inputs.get(name), everything) for graph in (was, now))
        if canonical(before) == canonical(after):
            continue
        place = f"the input `{name}` of the graph{of}"
        if before is None or after is None:
            says = f"{place} is {_come(before is None)}"
        else:
            names = {**after, **before}
            parts = [part for part in names if canonical(before.get(part)) != canonical(after.get(part))]
            says = f"{listed(parts)} of {place} changed"
            if parts == ["default"] and "default" in before and "default" in after:
                says = changed_value(f"the default of {place}", after["default"], before["default"])
        yield Change("declared_input", says, None, name, before, after)


def _declared(item: GraphInput | None, everything: bool) -> dict[str, Json] | None:
    if item is None:
        return None
    tree: dict[str, Json] = {"type": item.type}
    if not item.required:
        tree["default"] = item.default
    if item.choices:
        tree["choices"] = list(item.choices)
    if everything and item.doc:
        tree["doc"] = item.doc
    return tree


def _outputs(was: Graph, now: Graph, of: str, new: Mapping[str, str]) -> Iterator[Change]:
    for name in {**now.outputs, **was.outputs}:
        before, after = was.outputs.get(name), now.outputs.get(name)
        if _spelled(before, new) == _spelled(after, {}):
            continue
        says = _come(before is None) if before is None or after is None else f"now connected to `{after}`"
        place = f"the output `{name}` of the graph{of}"
        yield Change("declared_output", f"{place} is {says}", None, name, _binding(before), _binding(after))


def _renames(was: Graph, now: Graph) -> dict[str, str]:
    """Map the id of each node that is in both graphs to its id in the older graph."""
    old = {node: node for node in now.nodes if node in was.nodes}
    gone = {node: [_mark(was.nodes[node], {})] for node in was.nodes if node not in now.nodes}
    if not gone:
        return old
    left = Renames(dict(gone))
    for node in sort_nodes(now.nodes)[0]:
        if node not in old and (before := left.take([_mark(now.nodes[node], old)])) is not None:
            old[node] = before
    return old


def _mark(entry: Entry, ids: Mapping[str, str]) -> Hashable:
    """Return a value by which a renamed node is recognised: its type without version, and its inputs."""
    inputs = frozenset((name, _spelled(item, ids)) for name, item in entry.inputs.items())
    return entry.name, entry.off, entry.lift, inputs


def _spelled(binding: Binding | None, ids: Mapping[str, str]) -> bytes:
    """Encode the content of an input as canonical JSON, with renamed node ids replaced."""
    if isinstance(binding, From):
        binding = From(ids.get(binding.node, binding.node), binding.output)
    return b"" if binding is None else canonical(binding_json(binding))


def _binding(binding: Binding | None) -> Json:
    return None if binding is None else binding_json(binding)


def _json(spot: list[int] | None) -> Json:
    return None if spot is None else [*spot]


def _come(there: bool) -> str:
    return "new" if there else "gone"
