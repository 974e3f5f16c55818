"""Makes Python modules from packs, and removes the modules of removed packs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Protocol

from engine.packs.imports import ROOT
from engine.values import Value

INIT = "__init__.py"


class Sources(Protocol):
    """What `PackFinder` needs to know of a pack."""

    @property
    def path(self) -> Path:
        """The file or folder of the pack."""
        ...

    @property
    def sources(self) -> Mapping[str, bytes]:
        """The content of its Python files, by path inside the pack."""
        ...

    def file(self, inside: str) -> Path:
        """Return the full path of one of its files, from the path inside the pack."""
        ...


class _ReadLoader(SourceFileLoader):
    """Loads a module from bytes that were read earlier, since its file may have changed since."""

    def __init__(self, name: str, path: str, source: bytes) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType | None:
        return self.source_to_code(self._source, self.path)


class PackFinder(MetaPathFinder):
    """Finds the modules of packs in the content that was read from their files."""

    def __init__(self) -> None:
        self.packs: dict[str, Sources] = {}
        """The packs by module name."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return the spec of a pack's module; None for other modules."""
        if not fullname.startswith(f"{ROOT}."):
            return None
        name, *inner = fullname.removeprefix(f"{ROOT}.").split(".")
        pack = self.packs.get(f"{ROOT}.{name}")
        if pack is None:
            return None
        module = "/".join(inner)
        for inside in (f"{module}/{INIT}".lstrip("/"), f"{module}.py", "" if inner else pack.path.name):
            if (source := pack.sources.get(inside)) is not None:
                file = pack.file(inside)
                return spec_from_file_location(
                    fullname,
                    file,
                    loader=_ReadLoader(fullname, str(file), source),
                    submodule_search_locations=[str(file.parent)] if inside.endswith(INIT) else None,
                )
        return None


FINDER = PackFinder()
sys.meta_path.insert(0, FINDER)
_ROOT = ModuleType(ROOT, "The user's packs, as modules.")
_ROOT.__path__ = []
sys.modules[ROOT] = _ROOT


def pack_name(module: str) -> str | None:
    """Return the name of the user's pack that a module belongs to; None for other modules."""
    root, _, rest = module.partition(".")
    return rest.partition(".")[0].partition("@")[0] if root == ROOT and rest else None


def forget(name: str) -> None:
    """Remove the modules of one load of a pack; `name` is the module name of that load."""
    FINDER.packs.pop(name, None)
    for loaded in [other for other in list(sys.modules) if other == name or other.startswith(f"{name}.")]:
        del sys.modules[loaded]


def forget_values(pack: str) -> None:
    """Unregister the wire types of a pack, so that it can declare them again."""
    for wire, cls in list(Value.types.items()):
        if pack_name(cls.__module__) == pack:
            del Value.types[wire]


def forget_elsewhere(folders: Iterable[Path]) -> None:
    """Unregister the wire types of packs outside the given folders, as in a new process."""
    for wire, cls in list(Value.types.items()):
        if pack_name(cls.__module__) is not None:
            file = getattr(sys.modules.get(cls.__module__), "__file__", None)
            if file is None or not any(Path(file).is_relative_to(folder) for folder in folders):
                del Value.types[wire]
