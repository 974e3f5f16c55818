"""A user's pack: a file or folder that is read once, and the module that these bytes define."""

from __future__ import annotations

import itertools
import re
import sys
import weakref
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType

from engine.packs.imports import ROOT, Imports, read_imports
from engine.packs.pack_modules import FINDER, INIT, forget, forget_values
from engine.values import canonical, sha256

__all__ = ["INIT", "ROOT", "Pack", "code_of", "in_order", "used_packs"]

_loads = itertools.count(1)


@dataclass(eq=False)
class Pack:
    """A user's pack, with the content of its files as it was when they were read."""

    path: Path
    digests: dict[str, str]
    """The sha256 of each of its files, by path inside the pack."""
    sources: dict[str, bytes] = field(repr=False)
    """The content of its Python files, by path inside the pack."""
    code: str = ""
    """The digest of its files and of the files of the packs that it uses; part of the keys of its types."""
    module: ModuleType | None = field(default=None, repr=False)
    """The module; None if it could not be loaded."""

    @property
    def name(self) -> str:
        """The name by which other packs import it."""
        return re.sub(r"\W", "_", self.path.stem if self.path.suffix == ".py" else self.path.name)

    @cached_property
    def imports(self) -> Imports:
        """The packs and modules that it imports."""
        return read_imports(self.sources, self.name, INIT in self.sources)

    def uses(self, names: Collection[str]) -> set[str]:
        """Return those of the named packs that this pack may import."""
        return {name for name in names if self.imports.dynamic or name in self.imports.packs} - {self.name}

    def file(self, inside: str) -> Path:
        """Return the full path of one of its files, from the path inside the pack."""
        return self.path / inside if self.path.is_dir() else self.path

    def load(self) -> ModuleType:
        """Import the pack under a new module name.

        Steps that still run with types of an earlier load keep using the modules of that load, also for
        imports inside functions. So they never run code that their keys do not contain.
        """
        self.module = None
        name = f"{ROOT}.{self.name}@{next(_loads)}"
        FINDER.packs[name] = self
        try:
            spec = FINDER.find_spec(name)
            if spec is None or spec.loader is None:
                raise ImportError(f"{self.path} is not a Python file")
            forget_values(self.name)
            module = module_from_spec(spec)
            sys.modules[name] = module  # so that annotations and pickles of the module's own names resolve
            spec.loader.exec_module(module)
        except BaseException:
            forget(name)
            forget_values(self.name)
            raise
        self.module = sys.modules[f"{ROOT}.{self.name}"] = module
        return module

    def retire(self, types: Iterable[object]) -> None:
        """Remove its modules once no plan or run uses its types any more.

        Args:
            types: the `NodeType`s made from it; only plans and runs still refer to them.
        """
        if self.module is None:
            return
        name, self.module = self.module.__name__, None
        alias = f"{ROOT}.{self.name}"
        if getattr(sys.modules.get(alias), "__name__", "") == name:
            del sys.modules[alias]
            forget_values(self.name)
        held = list(types)
        _Retired(name, len(held)).watch(held)


class _Retired:
    """Removes the modules of an unloaded pack when the last of its node types is garbage collected."""

    def __init__(self, name: str, left: int) -> None:
        self._name, self._left = name, left

    def watch(self, types: Sequence[object]) -> None:
        """Watch these types, and remove the modules when none is left."""
        if not types:
            forget(self._name)
        for item in types:
            weakref.finalize(item, self._one_less).atexit = False

    def _one_less(self) -> None:
        self._left -= 1
        if not self._left:
            forget(self._name)


def used_packs(pack: Pack, packs: Mapping[str, Pack]) -> list[Pack]:
    """List a pack and all packs that it uses, directly or indirectly; `packs` are all packs by name."""
    used, ahead = {pack.name: pack}, [pack]
    while ahead:
        for name in ahead.pop().uses(packs.keys()) - used.keys():
            used[name] = packs[name]
            ahead.append(packs[name])
    return list(used.values())


def code_of(pack: Pack, packs: Mapping[str, Pack]) -> str:
    """Compute one digest of a pack's files and of the files of the packs that it uses."""
    own, *others = used_packs(pack, packs)
    return sha256(canonical([_content(own), *(_content(other) for other in sorted(others, key=_by_name))]))


def in_order(packs: Sequence[Pack]) -> list[Pack]:
    """Sort packs so that each comes after those that it uses; otherwise keep the given order."""
    named = {pack.name: pack for pack in packs}
    ordered: dict[Pack, None] = {}
    begun: set[Pack] = set()

    def put(pack: Pack) -> None:
        if pack not in begun:
            begun.add(pack)
            for name in sorted(pack.uses(named.keys())):
                put(named[name])
            ordered[pack] = None

    for pack in packs:
        put(pack)
    return list(ordered)


def _by_name(pack: Pack) -> str:
    return pack.name


def _content(pack: Pack) -> str:
    inside = pack.digests if pack.path.is_dir() else list(pack.digests.values())
    return sha256(canonical(inside))
