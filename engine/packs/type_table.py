"""The table of all packs' node types by name; it resolves names that two packs declare."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from types import ModuleType

from engine.errors import Problem
from engine.node import NodeType
from engine.packs.broken_pack import place_of
from engine.packs.other_apis import DescribeFor
from engine.packs.pack import Pack
from engine.packs.preparation import WarmUp
from engine.packs.provenance import Advise, Annotate, Estimate, Measure
from engine.sources.foreign import ImportGraph


@dataclass
class TypeTable:
    """The node types and hooks of the packs, in the order in which the packs were added."""

    types: dict[str, NodeType] = field(default_factory=dict)
    """The types by name. If two packs declare the same name, the name means the type of the first pack, and
    the type of the second pack is named `PACK/NAME`."""
    problems: list[Problem] = field(default_factory=list)
    annotators: list[Annotate] = field(default_factory=list)
    importers: list[ImportGraph] = field(default_factory=list)
    advisers: list[Advise] = field(default_factory=list)
    describers: list[DescribeFor] = field(default_factory=list)
    estimators: list[Estimate] = field(default_factory=list)
    measurers: list[Measure] = field(default_factory=list)
    warm_ups: list[WarmUp] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)
    """The place where each type is declared."""

    def copy(self) -> TypeTable:
        """Return a copy to which more packs can be added."""
        hooks = (
            [*self.annotators],
            [*self.importers],
            [*self.advisers],
            [*self.describers],
            [*self.estimators],
            [*self.measurers],
            [*self.warm_ups],
        )
        return TypeTable(dict(self.types), [*self.problems], *hooks, dict(self.origins))

    def add(self, types: Iterable[NodeType], module: ModuleType, name: str, pack: Pack | None = None) -> None:
        """Add the node types of a pack and its hooks.

        Hooks are the module's functions `annotate`, `import_graph`, `advise`, `describe_for`, `estimate`,
        `measure` and `warm_up`; all are optional.

        Args:
            types: its node types.
            module: its module.
            name: the name of the pack, the prefix for types whose name is taken.
            pack: the pack, if it is the user's.
        """
        for kind in types:
            existing = self.types.setdefault(kind.name, kind)
            origin = place_of(kind.cls, pack)
            if existing is kind:
                self.origins[kind.name] = origin
            elif existing.cls is not kind.cls:  # not a class that this module only imports
                self._add_second(kind, name, origin)
        if callable(annotate := getattr(module, "annotate", None)):
            self.annotators.append(annotate)
        if callable(import_graph := getattr(module, "import_graph", None)):
            self.importers.append(import_graph)
        if callable(advise := getattr(module, "advise", None)):
            self.advisers.append(advise)
        if callable(describe_for := getattr(module, "describe_for", None)):
            self.describers.append(describe_for)
        if callable(estimate := getattr(module, "estimate", None)):
            self.estimators.append(estimate)
        if callable(measure := getattr(module, "measure", None)):
            self.measurers.append(measure)
        if callable(warm_up := getattr(module, "warm_up", None)):
            self.warm_ups.append(warm_up)

    def _add_second(self, kind: NodeType, pack: str, origin: str) -> None:
        full = f"{pack}/{kind.name}"
        first = self.origins[kind.name]
        message = f"{origin} declares {kind.name}, but {first} declares a node of that name already"
        hint = f'"{kind.name}" means the one in {first}; write "{full}" for the other, or rename one class'
        self.problems.append(Problem("name_taken", message, hint=hint, severity="warning"))
        if full not in self.types:
            self.types[full] = replace(kind, name=full)
            self.origins[full] = origin
