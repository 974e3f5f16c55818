"""Finds node types: built in and installed (entry points), and files of a user, read again on change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING

from engine import conversions, packs
from engine.broken_pack import broken_module, broken_pack, names_in, no_node, place_of, unreadable
from engine.digests import FileDigests, Unsettled
from engine.errors import Problem
from engine.node import Node, NodeType
from engine.packs import Pack
from engine.stamps import Stamps
from engine.values import Json
from engine.wires import Wire

if TYPE_CHECKING:
    from engine.foreign import ImportGraph

GROUP = "safelight.nodes"


@dataclass(frozen=True, slots=True)
class Made:
    """One step behind an output, as an annotation hook sees it: what was run, with which inputs."""

    node_type: str
    inputs: Mapping[str, Json]
    """The literal inputs, defaults included."""
    links: Mapping[str, str]
    """The wired inputs: from which step each comes."""
    meta: Mapping[str, Json]
    """The plain part of each output, as far as it is known."""


Annotate = Callable[[Mapping[str, Made], str, int], Mapping[str, str]]
"""What a pack may offer as `annotate(steps, target, index)`: text for the chunks of a written picture.

`steps` are the ancestors of the output by id, `target` is the id of the step that made it, `index` is the
picture's place in its batch.
"""


class Registry:
    """The node types at hand, by name, and what could not be loaded."""

    def __init__(self, types: Iterable[type[Node]] = ()) -> None:
        self._installed = _Table()
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
        """Take in one node class, in place of whatever has its name."""
        kind = replace(cls.node_type, code=code) if code else cls.node_type
        self._installed.types[kind.name] = self.types[kind.name] = kind

    @classmethod
    def find(cls, folders: Sequence[Path] = ()) -> Registry:
        """Every type that is installed, and every `*.py` file (or package) in the given folders.

        A pack that cannot be loaded becomes a problem with its file and line, and harms nothing else.
        """
        registry = cls()
        for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
            try:
                module = point.load()
            except (Exception, SystemExit) as error:  # the code of a pack may do anything
                registry._installed.problems.append(broken_module(point.value, error))
            else:
                registry._installed.take(_types_in(module), module)
        registry._folders = tuple(folders)
        registry._tabulate()
        registry.refresh()
        return registry

    def refresh(self) -> bool:
        """Read again what changed in the folders since they were looked at last; one stat a file if nothing.

        A pack that was changed is loaded anew, and so are those that mention it; its types get new keys.
        While it cannot be loaded its types are not there: a graph that needs one is told of the file and line
        that is in the way, rather than being answered by code that the file no longer says. Plans and runs
        that began before go on with the types that they began with.

        Returns:
            True if anything changed.
        """
        if not self._folders:
            return False
        with self._lock:
            if self._stamps.same():
                return False
            found, unread = self._look()
            self._stamps.take(
                [*packs.folders_of(self._folders), *(file for pack in found.values() for file in pack.places)]
                if not unread
                else []
            )
            if not self._load(found) and unread == self._unread:
                return False
            self._unread = unread
            self._tabulate()
            return True

    def close(self) -> None:
        """Let go of the user's packs and of the wire types that they declare, for another home's to take."""
        with self._lock:
            self._folders = ()
            self._stamps = Stamps()
            self._load({})
            self._tabulate()

    def near(self, name: str) -> str | None:
        """A hint for a name that no type has: what keeps its pack from loading, or names like it."""
        for loaded in self._packs.values():
            if loaded.problem is not None and name in names_in(loaded.pack):
                return f"{loaded.problem.message}; mend it"
        return near(name, self.types)

    def conversion(self, offered: Wire, wanted: Wire) -> list[NodeType]:
        """The shortest chain of conversions from one wire type to another; see `conversions.find`."""
        return conversions.find(self.types.values(), offered, wanted)

    def _look(self) -> tuple[dict[Path, Pack], list[Problem]]:
        """The packs that lie in the folders now; those that did not change are the very same."""
        found: dict[Path, Pack] = {}
        unread: list[Problem] = []
        for folder in self._folders:
            try:
                paths = packs.packs_in(folder)
                # One that is being saved, by a rename, may be missing from the list of its folder.
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
                    if known is not None and known.pack.digests == packs.digests_of(path, self._digests):
                        found[path] = known.pack
                    else:
                        found[path] = packs.read(path, self._digests)
                except OSError as error:
                    unread.append(unreadable(path, error))
                    if known is not None and isinstance(error, Unsettled):
                        found[path] = known.pack  # as it was before it began to be written
        return found, unread

    def _load(self, found: Mapping[Path, Pack]) -> bool:
        """Load what is new or changed, and let go of what is gone; True if there was any."""
        named = {pack.name: pack for pack in found.values()}
        codes = {path: packs.code_of(pack, named) for path, pack in found.items()}
        kept = {
            path: loaded
            for path, loaded in self._packs.items()
            if codes.get(path) == loaded.pack.code and found[path] is loaded.pack and loaded.whole
        }
        stale = [loaded for path, loaded in self._packs.items() if path not in kept]
        fresh = [pack for path, pack in found.items() if path not in kept]
        for loaded in stale:
            loaded.pack.retire(loaded.types)
        for pack in packs.in_order(fresh):
            pack.code = codes[pack.path]
            kept[pack.path] = _loaded(pack)
        self._packs = {path: kept[path] for path in found}
        return bool(stale or fresh)

    def _tabulate(self) -> None:
        """Lay out what is at hand anew; whoever reads the old tables meanwhile finds them as they were."""
        table = self._installed.copy()
        table.problems += self._unread
        for loaded in self._packs.values():
            if loaded.problem is not None:
                table.problems.append(loaded.problem)
            if loaded.pack.module is not None:
                table.take(loaded.types, loaded.pack.module, loaded.pack)
        self.types, self.problems = table.types, table.problems
        self.annotators, self.importers = table.annotators, table.importers


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A pack, and what came of it."""

    pack: Pack
    types: list[NodeType]
    problem: Problem | None

    @property
    def whole(self) -> bool:
        """False if it was let go of and nothing came in its place, as when loading was interrupted."""
        return self.problem is not None or self.pack.module is not None


def _loaded(pack: Pack) -> _Loaded:
    try:
        module = pack.load()
    except (Exception, SystemExit) as error:  # the code of a pack may do anything
        return _Loaded(pack, [], broken_pack(pack, error))
    types = [replace(kind, code=pack.code) for kind in _types_in(module, pack)]
    return _Loaded(pack, types, None if types else no_node(pack, module))


def _types_in(module: ModuleType, pack: Pack | None = None) -> list[NodeType]:
    """The node types that a module offers, without those that it only imports from another user's pack."""
    found = {
        item.node_type.name: item.node_type
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Node) and "node_type" in vars(item)
    }
    own = (None, pack.name if pack else None)
    return [kind for kind in found.values() if packs.pack_name(kind.cls.__module__) in own]


@dataclass
class _Table:
    """Node types by name, each with the first that claimed it, so that no pack can pass for another."""

    types: dict[str, NodeType] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    annotators: list[Annotate] = field(default_factory=list)
    importers: list[ImportGraph] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)
    """Where each type is declared, in words."""

    def copy(self) -> _Table:
        """The same, to be added to."""
        lists = [*self.problems], [*self.annotators], [*self.importers]
        return _Table(dict(self.types), *lists, dict(self.origins))

    def take(self, types: Iterable[NodeType], module: ModuleType, pack: Pack | None = None) -> None:
        """Take in what a module offers: node types, its `annotate` and its `import_graph` if it has them."""
        for kind in types:
            there = self.types.setdefault(kind.name, kind)
            origin = place_of(kind.cls, pack)
            if there is kind:
                self.origins[kind.name] = origin
            elif there.cls is not kind.cls:  # and not one that this module only imports
                message = f"{origin} brings a {kind.name}, a name that {self.origins[kind.name]} has already"
                hint = "give one of the two classes another name; until then the latter is used"
                self.problems.append(Problem("name_taken", message, hint=hint, severity="warning"))
        if callable(annotate := getattr(module, "annotate", None)):
            self.annotators.append(annotate)
        if callable(import_graph := getattr(module, "import_graph", None)):
            self.importers.append(import_graph)


def near(name: str, known: Iterable[str]) -> str | None:
    """A hint with the known names that look like a mistyped one; None when none does."""
    folded = {other.lower(): other for other in known}
    matches = [folded[match] for match in get_close_matches(name.lower(), folded, n=3, cutoff=0.6)]
    return f"did you mean {' or '.join(matches)}?" if matches else None
