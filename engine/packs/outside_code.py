"""Computes digests of the code that packs use outside the nodes folder.

Only the user's own modules are digested, such as a file on `PYTHONPATH` or a library installed in editable
mode. Other installed libraries are not: a node names those that matter in its class keyword `libraries`.
Python imports a module once in a process. So its digest is also computed only once, right after the import,
and always matches the running code.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import EntryPoint, packages_distributions, version
from pathlib import Path

from engine.packs.imports import ROOT, read_imports
from engine.packs.pack_files import all_in
from engine.values import Json, canonical, sha256

_OWN = frozenset({"engine", "nodes"})
"""The packages of Safelight itself; a change of their node types increases the type's version."""
_NO_PACKS = _OWN | {ROOT, "pydantic"} | sys.stdlib_module_names
_INSTALLED = tuple(
    Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib", "stdlib", "platstdlib")
)
_LARGE = 2**24
"""Data files of more bytes are identified by size and time, so that no model weights are read at start-up."""
_digests: dict[str, str | None] = {}


def outside_code(modules: Iterable[str]) -> dict[str, str]:
    """Compute the digests of those modules that are the user's, and of the user's modules that they import.

    Args:
        modules: top-level names of modules. Modules that are not imported yet are imported here.
    """
    digests: dict[str, str] = {}
    ahead, seen = list(modules), set(_OWN)
    while ahead:
        name = ahead.pop()
        if name in seen:
            continue
        seen.add(name)
        sources = _sources(name)
        if not sources:
            continue
        ahead += read_imports(sources, name, True).modules
        if name not in _digests:
            _digests[name] = sha256(canonical(_content(name, sources)))
        digests[name] = str(_digests[name])
    return digests


def code_of_distribution(point: EntryPoint) -> str:
    """Return the identity of an installed pack's code for keys; empty for Safelight's own packages.

    It is a digest of the distribution's name and version. A pack installed in editable mode may change
    without a new version, so the digest of its code is included.
    """
    module = point.value.partition(":")[0].partition(".")[0]
    if module in _OWN:
        return ""
    distribution = [point.dist.name, point.dist.version] if point.dist is not None else [point.value]
    return sha256(canonical([*distribution, outside_code([module])]))


def code_of_declarations(classes: Iterable[type], own: str = "") -> dict[str, Json]:
    """Return the code identity of the installed packs that declare the given base classes and value classes.

    Args:
        classes: the classes. Those of Safelight, of the user's packs and of Python's library are left out.
        own: the top-level name of a module to leave out as well, since its code is already part of the key.

    Returns:
        for each top-level module name, its distributions with versions, and the digests of its code if it is
        the user's.
    """
    names = {top_level(cls) for cls in classes} - _NO_PACKS - {own}
    return {name: list(_declaring(name)) for name in sorted(names)}


def top_level(cls: type) -> str:
    """Return the top-level name of the module that declares a class."""
    return cls.__module__.partition(".")[0]


@cache
def _declaring(name: str) -> tuple[Json, Json]:
    """Return the distributions of a module with versions, and the digests of its code if it is the user's."""
    names = packages_distributions().get(name, [])
    return [f"{distribution} {version(distribution)}" for distribution in sorted(set(names))], {
        **outside_code([name])
    }


def _sources(name: str) -> dict[str, bytes]:
    """Read the Python files of a user's module, by path; empty for other modules."""
    try:
        module = sys.modules.get(name) or _imported(name)
        file = getattr(module, "__file__", None)
        if file is None or _is_installed(Path(file)):
            return {}
        path = Path(file)
        if path.name != "__init__.py":
            return {path.name: path.read_bytes()}
        folder = path.parent
        return {
            inner.relative_to(folder).as_posix(): inner.read_bytes() for inner in sorted(folder.rglob("*.py"))
        }
    except OSError:
        return {}


def _content(name: str, sources: Mapping[str, bytes]) -> dict[str, Json]:
    """Return the digest of each file of a user's module by path, including data files in its folder.

    For a large data file, it is the size and time instead.
    """
    content: dict[str, Json] = {path: sha256(source) for path, source in sources.items()}
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None or Path(file).name != "__init__.py":
        return content
    folder = Path(file).parent
    with suppress(OSError):  # if it cannot be read here, no node can read it
        for path in all_in(folder):
            inside = path.relative_to(folder).as_posix()
            if inside not in content and path.is_file():
                stat = path.stat()
                large = stat.st_size > _LARGE
                content[inside] = [stat.st_size, stat.st_mtime_ns] if large else sha256(path.read_bytes())
    return content


def _imported(name: str) -> object:
    """Import a user's module before a node does; None if it is not the user's or cannot be imported."""
    try:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None or _is_installed(Path(spec.origin)):
            return None
        return importlib.import_module(name)
    except (Exception, SystemExit):  # the node that imports it will get the same error
        return None


def _is_installed(path: Path) -> bool:
    resolved = path.resolve()
    return not path.is_absolute() or any(resolved.is_relative_to(folder) for folder in _INSTALLED)
