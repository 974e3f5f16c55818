"""Finds which packs and modules a pack imports, from its source, without running it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

ROOT = "safelight_user_nodes"
"""The package that contains the user's packs; a pack imports another as `.NAME`."""

_DYNAMIC = frozenset({"import_module", "__import__", "spec_from_file_location", "SourceFileLoader", "runpy"})
_DYNAMIC_CALLS = frozenset({"exec", "eval"})


@dataclass(slots=True)
class Imports:
    """What Python files import, including imports inside functions."""

    packs: set[str] = field(default_factory=set)
    """The names of the user's packs that are imported."""
    modules: set[str] = field(default_factory=set)
    """The top-level names of other imported modules, except those of Python's standard library."""
    dynamic: bool = False
    """True if a module name may be computed at run time, so that any pack may be imported."""


def read_imports(sources: Mapping[str, bytes], pack: str, is_folder: bool) -> Imports:
    """Find what a pack imports.

    Args:
        sources: the content of its Python files, by path inside the pack.
        pack: the name of the pack.
        is_folder: True if the pack is a folder; False for a single file.
    """
    found = Imports()
    for path, source in sources.items():
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            found.dynamic = True  # it cannot be loaded, so its imports are unknown
            continue
        package = [pack, *path.split("/")[:-1]] if is_folder else []
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for name in node.names:
                    _absolute(name.name.split("."), found)
            elif isinstance(node, ast.ImportFrom):
                _from(node, package, found)
            elif _is_dynamic(node):
                found.dynamic = True
    found.packs.discard(pack)
    return found


def _from(node: ast.ImportFrom, package: list[str], found: Imports) -> None:
    module = node.module.split(".") if node.module else []
    for name in node.names:
        if not node.level:
            _absolute([*module, name.name], found)
        elif node.level > len(package):  # a relative import that leaves the pack, to another pack
            found.packs.add([*module, name.name][0])


def _absolute(parts: list[str], found: Imports) -> None:
    if parts[0] != ROOT:
        if parts[0] not in sys.stdlib_module_names:
            found.modules.add(parts[0])
    elif len(parts) > 1 and parts[1] != "*":
        found.packs.add(parts[1])
    else:
        found.dynamic = True


def _is_dynamic(node: ast.AST) -> bool:
    return any(name in _DYNAMIC for name in _names(node)) or (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _DYNAMIC_CALLS
    )


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.alias):
        yield node.name.rpartition(".")[2]
