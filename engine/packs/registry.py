"""Finds the node types of installed packs and of the user's packs; reloads the user's when they change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from threading import Lock
from types import ModuleType

from engine.digests import FileDigests, Unsettled
from engine.errors import Problem
from engine.near_names import near
from engine.node import Node, NodeType
from engine.packs import pack_files
from engine.packs.broken_pack import broken_module, broken_pack, names_in, no_node, unreadable
from engine.packs.outside_code import (
    code_of_declarations,
    code_of_distribution,
    outside_code,
    top_level,
)
from engine.packs.pack import Pack, code_of, in_order, used_packs
from engine.packs.pack_modules import pack_name
from engine.packs.stamps import Stamps
from engine.packs.type_table import TypeTable
from engine.values import Value, canonical, sha256

GROUP = "safelight.nodes"
"""The entry point group of installed packs."""
BUILT_IN = "safelight"
"""The entry point of the built-in nodes; other packs cannot take their names."""


class Registry:
    """The installed node types by name, and the problems of packs that could not be loaded."""

    def __init__(self, types: Iterable[type[Node]] = ()) -> None:
        self._installed = TypeTable()
        self._folders: tuple[Path, ...] = ()
        self._digests = FileDigests()
        self._stamps = Stamps()
        self._packs: dict[Path, _Loaded] = {}
        self._unread: list[Problem] = []
        self._lock = Lock()
        self._tabulate()
        for cls in types:
            self.add(cls)

    def add(self, cls: type[Node], code: str = "") -> None:
        """Add one node class; it replaces a type of the same name."""
        kind = replace(cls.node_type, code=code) if code else cls.node_type
        self._installed.types[kind.name] = self.types[kind.name] = kind

    @classmethod
    def find(cls, folders: Sequence[Path] = ()) -> Registry:
        """Find every installed type, and every `*.py` file and Python package in the given folders.

        A pack that cannot be loaded becomes a problem with its file and line. All other packs still work.
        """
        registry = cls()
        for point in sorted(entry_points(group=GROUP), key=_built_in_first):
            try:
                module = point.load()
            except (Exception, SystemExit) as error:  # the code of a pack may raise anything
                registry._installed.problems.append(broken_module(point.value, error))
            else:
                registry._installed.add(_installed_types(module, point), module, point.name)
        registry._folders = tuple(folders)
        registry._tabulate()
        registry.refresh()
        return registry

    def refresh(self) -> bool:
        """Reload the user's packs that changed; if none did, this costs one stat for each file.

        A changed pack is reloaded together with the packs that import it, and the keys of their types change.
        While a pack cannot be loaded, its types are missing: a graph that needs one gets a problem with the
        file and line, instead of results of outdated code. Existing plans and runs keep their types.

        Returns:
            True if anything changed.
        """
        if not self._folders:
            return False
        with self._lock:
            if self._stamps.same():
                return False
            packs, unread = self._look()
            watched = [
                *pack_files.folders_of(self._folders),
                *(place for pack in packs.values() for place in pack_files.places_of(pack)),
            ]
            self._stamps.take([] if unread else watched)
            if not self._load(packs) and unread == self._unread:
                return False
            self._unread = unread
            self._tabulate()
            return True

    def close(self) -> None:
        """Unload the user's packs and unregister their wire types, so that another home can be opened."""
        with self._lock:
            self._folders = ()
            self._stamps = Stamps()
            self._load({})
            self._tabulate()

    def near(self, name: str) -> str | None:
        """Return a hint for an unknown type: the problem of its broken pack, or similar names, or None."""
        for loaded in self._packs.values():
            if loaded.problem is not None and name in names_in(loaded.pack):
                return f"correct the pack first: {loaded.problem.message}"
        return near(name, self.types)

    def _look(self) -> tuple[dict[Path, Pack], list[Problem]]:
        """Read the packs that are in the folders now, by path, and list the problems of unreadable ones.

        An unchanged pack is the same object as before.
        """
        packs: dict[Path, Pack] = {}
        unread: list[Problem] = []
        for folder in self._folders:
            try:
                paths = pack_files.packs_in(folder)
                # A file may be missing in the folder's list while an editor saves it by renaming.
                paths += [
                    path
                    for path in self._packs
                    if path.parent == folder and path not in paths and path.exists()
                ]
            except OSError as error:
                unread.append(unreadable(folder, error))
                continue
            for path in paths:
                known = self._packs.get(path)
                try:
                    if known is not None and known.pack.digests == pack_files.digests_of(path, self._digests):
                        packs[path] = known.pack
                    else:
                        packs[path] = pack_files.read(path, self._digests)
                except OSError as error:
                    unread.append(unreadable(path, error))
                    if known is not None and isinstance(error, Unsettled):
                        packs[path] = known.pack  # the pack from before the file was being written
        return packs, unread

    def _load(self, packs: Mapping[Path, Pack]) -> bool:
        """Load new and changed packs, and unload removed ones; return True if there were any."""
        named = {pack.name: pack for pack in packs.values()}
        codes = {path: code_of(pack, named) for path, pack in packs.items()}
        kept = {
            path: loaded
            for path, loaded in self._packs.items()
            if codes.get(path) == loaded.pack.code and packs[path] is loaded.pack and loaded.whole
        }
        stale = [loaded for path, loaded in self._packs.items() if path not in kept]
        fresh = [pack for path, pack in packs.items() if path not in kept]
        for loaded in stale:
            loaded.pack.retire(loaded.types)
        for pack in in_order(fresh):
            pack.code = codes[pack.path]
            kept[pack.path] = _loaded(pack, named)
        self._packs = {path: kept[path] for path in packs}
        return bool(stale or fresh)

    def _tabulate(self) -> None:
        """Build the tables of types and hooks anew; threads that read the old ones are not disturbed."""
        table = self._installed.copy()
        table.problems += self._unread
        for loaded in self._packs.values():
            if loaded.problem is not None:
                table.problems.append(loaded.problem)
            if loaded.pack.module is not None:
                table.add(loaded.types, loaded.pack.module, loaded.pack.name, loaded.pack)
        self.types, self.problems = table.types, table.problems
        self.annotators, self.importers = table.annotators, table.importers
        self.advisers, self.estimators, self.describers = table.advisers, table.estimators, table.describers
        self.measurers = table.measurers
        self.warm_ups = table.warm_ups


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A user's pack and the result of loading it."""

    pack: Pack
    types: list[NodeType]
    problem: Problem | None

    @property
    def whole(self) -> bool:
        """False if loading was interrupted, so that there is neither a module nor a problem."""
        return self.problem is not None or self.pack.module is not None


def _loaded(pack: Pack, packs: Mapping[str, Pack]) -> _Loaded:
    try:
        module = pack.load()
    except (Exception, SystemExit) as error:  # the code of a pack may raise anything
        return _Loaded(pack, [], broken_pack(pack, error))
    outside = outside_code(name for used in used_packs(pack, packs) for name in used.imports.modules)
    code = sha256(canonical([pack.code, outside])) if outside else pack.code
    types = [_with_code(kind, code) for kind in _types_in(module, pack.name)]
    for cls in list(Value.types.values()):
        if pack_name(cls.__module__) == pack.name:
            cls._pack_code = code
    _note_value_code(types)
    return _Loaded(pack, types, None if types else no_node(pack, module))


def _installed_types(module: ModuleType, point: EntryPoint) -> list[NodeType]:
    """Return the node types of an installed pack, with the identity of its code for their keys."""
    code = code_of_distribution(point)
    package = module.__name__.partition(".")[0]
    types = [
        _with_code(kind, code) if code and top_level(kind.cls) == package else kind
        for kind in _types_in(module, None)
    ]
    _note_value_code(types)
    return types


def _with_code(kind: NodeType, code: str) -> NodeType:
    """Copy a node type, with the code identity of its pack and of the installed packs that its class uses."""
    classes = [*kind.cls.__mro__, *_value_classes(kind)]
    others = code_of_declarations(classes, top_level(kind.cls))
    return replace(kind, code=sha256(canonical([code, others])) if others else code)


def _value_classes(kind: NodeType) -> list[type[Value]]:
    """Return the value classes of the inputs and outputs of a node type."""
    wires = [*(item.wire for item in kind.inputs.values()), *kind.outputs.values()]
    return [Value.types[wire.name] for wire in wires if wire.is_value]


def _note_value_code(types: Iterable[NodeType]) -> None:
    """Record the code identity of the installed packs that declare the value classes of node types."""
    for kind in types:
        for cls in _value_classes(kind):
            if declaring := code_of_declarations([cls]):
                cls._pack_code = sha256(canonical(declaring))


def _types_in(module: ModuleType, pack: str | None) -> list[NodeType]:
    """Return the node types of a module, without those imported from another of the user's packs."""
    types = {
        item.node_type.name: item.node_type
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Node) and "node_type" in vars(item)
    }
    return [kind for kind in types.values() if pack_name(kind.cls.__module__) in (None, pack)]


def _built_in_first(point: EntryPoint) -> tuple[bool, str]:
    return point.name != BUILT_IN, point.name
