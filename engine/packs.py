"""A user's pack: a file or folder, read once, and the modules made of exactly the bytes that were read."""

from __future__ import annotations

import itertools
import re
import sys
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from engine.digests import FileDigests
from engine.values import Value, canonical, sha256

ROOT = "safelight_user_nodes"
"""Packs are known to one another as `safelight_user_nodes.NAME`."""

_MENTION = re.compile(rf"{ROOT}\.(\w+)".encode())
_INIT = "__init__.py"
_loads = itertools.count(1)


@dataclass(eq=False)
class Pack:
    """One pack as it was when it was read."""

    path: Path
    digests: dict[str, str]
    """The sha256 of each of its files, by path inside the pack."""
    sources: dict[str, bytes] = field(repr=False)
    """Its Python files."""
    code: str = ""
    """What its types are keyed by: the digest of its files and of those of the packs that it mentions."""
    module: ModuleType | None = field(default=None, repr=False)
    """None if it could not be loaded."""

    @property
    def name(self) -> str:
        """What other packs call it."""
        return _name(self.path)

    @property
    def mentions(self) -> set[str]:
        """The names of the packs that its source speaks of; those that it imports are among them."""
        found = {name.decode() for source in self.sources.values() for name in _MENTION.findall(source)}
        return found - {self.name}

    @property
    def places(self) -> list[str]:
        """Its files and folders, as paths: nothing in it changes without one of them."""
        inside = _inside(self.path) if self.path.is_dir() else ()
        return [str(self.path), *map(str, inside)]

    def file(self, inside: str) -> Path:
        """Where one of its files lies."""
        return self.path / inside if self.path.is_dir() else self.path

    def load(self) -> ModuleType:
        """Run it, under a module name that no earlier load of it had.

        So what still runs with types of an earlier load finds the modules of that load, also when it imports
        them late, and never meets code that its keys do not speak of.
        """
        self.module = None
        name = f"{ROOT}.{self.name}@{next(_loads)}"
        _FINDER.packs[name] = self
        try:
            spec = _FINDER.find_spec(name)
            if spec is None or spec.loader is None:
                raise ImportError(f"{self.path} is not a Python file")
            _forget_values(self.name)
            module = module_from_spec(spec)
            sys.modules[name] = module  # so that annotations and pickles of the module's own names resolve
            spec.loader.exec_module(module)
        except BaseException:
            forget(name)
            _forget_values(self.name)
            raise
        self.module = sys.modules[f"{ROOT}.{self.name}"] = module
        return module

    def retire(self, types: Iterable[object]) -> None:
        """Let go of its module once nothing refers to its types any more, such as a plan or a run.

        Args:
            types: the `NodeType`s that were made of it, and nothing else holds but plans and runs.
        """
        if self.module is None:
            return
        name, self.module = self.module.__name__, None
        alias = f"{ROOT}.{self.name}"
        if getattr(sys.modules.get(alias), "__name__", "") == name:
            del sys.modules[alias]
            _forget_values(self.name)
        held = list(types)
        _Retired(name, len(held)).watch(held)


class _Retired:
    """Counts the types that are left of a pack, and forgets its modules with the last of them."""

    def __init__(self, name: str, left: int) -> None:
        self._name, self._left = name, left

    def watch(self, types: Sequence[object]) -> None:
        """Begin to count."""
        if not types:
            forget(self._name)
        for item in types:
            weakref.finalize(item, self._one_less).atexit = False

    def _one_less(self) -> None:
        self._left -= 1
        if not self._left:
            forget(self._name)


def packs_in(folder: Path) -> list[Path]:
    """The packs of a folder: every Python file, and every folder that is a Python package.

    Raises:
        OSError: the folder cannot be read.
    """
    if not folder.is_dir():
        return []
    found = [
        path
        for path in folder.iterdir()
        if not path.name.startswith((".", "_")) and (path.suffix == ".py" or (path / _INIT).is_file())
    ]
    return sorted(found)


def folders_of(folders: Iterable[Path]) -> list[str]:
    """The folders, and those right inside them that are packs or may become ones."""
    found = [str(folder) for folder in folders]
    for folder in folders:
        if folder.is_dir():
            found += [str(path) for path in folder.iterdir() if path.is_dir()]
    return found


def digests_of(path: Path, digests: FileDigests) -> dict[str, str]:
    """The sha256 of every file of a pack, by its path inside; what did not change is not read again.

    Raises:
        OSError: one cannot be read.
    """
    if not path.is_dir():
        return {path.name: digests.digest(path)}
    return {
        file.relative_to(path).as_posix(): digests.digest(file) for file in _inside(path) if file.is_file()
    }


def read(path: Path, digests: FileDigests) -> Pack:
    """Read a pack.

    Raises:
        OSError: a file cannot be read.
    """
    found = digests_of(path, digests)
    sources: dict[str, bytes] = {}
    for inside in found:
        if inside.endswith(".py"):
            sources[inside] = (path / inside if path.is_dir() else path).read_bytes()
            found[inside] = sha256(sources[inside])
    return Pack(path, found, sources)


def code_of(pack: Pack, packs: Mapping[str, Pack]) -> str:
    """What the types of a pack are keyed by; `packs` are all that it could import, by name."""
    meant, ahead = {pack.name}, [pack]
    while ahead:
        for name in ahead.pop().mentions & packs.keys() - meant:
            meant.add(name)
            ahead.append(packs[name])
    others = sorted(meant - {pack.name})
    return sha256(canonical([_content(pack), *(_content(packs[name]) for name in others)]))


def in_order(packs: Sequence[Pack]) -> list[Pack]:
    """The packs, each after those that it mentions, and else in the given order."""
    named = {pack.name: pack for pack in packs}
    ordered: dict[Pack, None] = {}
    begun: set[Pack] = set()

    def put(pack: Pack) -> None:
        if pack not in begun:
            begun.add(pack)
            for name in sorted(pack.mentions & named.keys()):
                put(named[name])
            ordered[pack] = None

    for pack in packs:
        put(pack)
    return list(ordered)


def forget(name: str) -> None:
    """Drop the modules of one load of a pack."""
    _FINDER.packs.pop(name, None)
    for loaded in [other for other in sys.modules if other == name or other.startswith(f"{name}.")]:
        del sys.modules[loaded]


def forget_elsewhere(folders: Iterable[Path]) -> None:
    """Free the wire types that packs outside of some folders declared, as a new process would begin."""
    for wire, cls in list(Value.types.items()):
        if pack_name(cls.__module__) is not None:
            file = getattr(sys.modules.get(cls.__module__), "__file__", None)
            if file is None or not any(Path(file).is_relative_to(folder) for folder in folders):
                del Value.types[wire]


def pack_name(module: str) -> str | None:
    """The pack that a module belongs to; None if it is no user's."""
    root, _, rest = module.partition(".")
    return rest.partition(".")[0].partition("@")[0] if root == ROOT and rest else None


def _forget_values(pack: str) -> None:
    """Free the wire types that a pack declared, for what it declares now or for the file it is moved to."""
    for wire, cls in list(Value.types.items()):
        if pack_name(cls.__module__) == pack:
            del Value.types[wire]


def _name(path: Path) -> str:
    return re.sub(r"\W", "_", path.stem if path.suffix == ".py" else path.name)


def _content(pack: Pack) -> str:
    inside = pack.digests if pack.path.is_dir() else list(pack.digests.values())
    return sha256(canonical(inside))


def _inside(folder: Path) -> Iterator[Path]:
    """Every file and folder of a pack, without what editors, Python and git keep there."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_file():
            yield path
        elif path.is_dir() and not folder.resolve().is_relative_to(path.resolve()):  # a link to where we are
            yield path
            yield from _inside(path)


class _AsRead(SourceFileLoader):
    """Runs bytes at hand: the file may say something else by now, and bytecode is of what it once said."""

    def __init__(self, name: str, path: str, source: bytes) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType | None:
        return self.source_to_code(self._source, self.path)


class _Finder(MetaPathFinder):
    """Finds the modules of packs in what was read of them."""

    def __init__(self) -> None:
        self.packs: dict[str, Pack] = {}

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Where Python asks first; None for all that is no source file of a pack."""
        if not fullname.startswith(f"{ROOT}."):
            return None
        name, *inner = fullname.removeprefix(f"{ROOT}.").split(".")
        pack = self.packs.get(f"{ROOT}.{name}")
        if pack is None:
            return None
        module = "/".join(inner)
        for inside in (f"{module}/{_INIT}".lstrip("/"), f"{module}.py", "" if inner else pack.path.name):
            if (source := pack.sources.get(inside)) is not None:
                file = pack.file(inside)
                return spec_from_file_location(
                    fullname,
                    file,
                    loader=_AsRead(fullname, str(file), source),
                    submodule_search_locations=[str(file.parent)] if inside.endswith(_INIT) else None,
                )
        return None


_FINDER = _Finder()
sys.meta_path.insert(0, _FINDER)
_ROOT = ModuleType(ROOT, "The packs of a user, as modules.")
_ROOT.__path__ = []
sys.modules[ROOT] = _ROOT
