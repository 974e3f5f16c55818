"""A pack that cannot be loaded, as a problem: the file, the line and the fix."""

from __future__ import annotations

import ast
import os
import re
import traceback
from pathlib import Path
from types import ModuleType

from engine.errors import Problem, said
from engine.node import Node
from engine.node_class import BadNode
from engine.packs import ROOT, Pack, pack_name

_NODE = re.compile(
    rb"^class\s+(\w+)\s*\(\s*(?!Value|NamedTuple|Protocol|TypedDict|\w*Enum|\w*Error)\w", re.MULTILINE
)
_ENGINE = str(Path(__file__).parent) + os.sep


def broken_pack(pack: Pack, error: BaseException) -> Problem:
    """What is wrong with a user's pack; the place is in the user's files wherever the error came up."""
    file, line = _place(pack, error)
    where = f"{file}, line {line}" if line else str(file)
    missing = names_in(pack)
    lost = f"; until then {'these nodes are' if len(missing) > 1 else 'this node is'} missing: "
    told = lost + ", ".join(missing) if missing else ""
    return Problem(
        "broken_pack",
        f"the node pack {pack.name} cannot be loaded: {where}: {_sentence(error)}",
        hint=f"{_fix(pack, error)}{told}",
        severity="warning",
    )


def broken_module(place: str, error: BaseException) -> Problem:
    """The same for an installed pack, named by its module."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if os.path.isabs(frame.filename) and not frame.filename.startswith(_ENGINE)
    ]
    if isinstance(error, SyntaxError):
        where = f" ({error.filename}, line {error.lineno})"
    else:
        where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return Problem(
        "broken_pack",
        f"the node pack {place} cannot be loaded: {said(error)}{where}",
        hint="update the package that brings it, or remove it",
        severity="warning",
    )


def unreadable(path: Path, error: OSError) -> Problem:
    """A pack, or a folder of packs, that cannot be read."""
    message = f"{path} cannot be read: {error.strerror or error}"
    return Problem("broken_pack", message, hint="see who may read it", severity="warning")


def no_node(pack: Pack, module: ModuleType) -> Problem | None:
    """A pack that declares nodes none of which has a `run`, which is most likely a slip."""
    for item in vars(module).values():
        if isinstance(item, type) and issubclass(item, Node) and item.__module__ == module.__name__:
            message = f"{place_of(item, pack)}: {item.__name__} has no run(), so it is no node type"
            hint = "give it `def run(self, ctx: Context) -> ...:`"
            return Problem("no_node", message, hint=hint, severity="warning")
    return None


def place_of(cls: type, pack: Pack | None) -> str:
    """Where a class is declared: file and line for a user's, its module for an installed one."""
    if pack is not None and pack_name(cls.__module__) == pack.name:
        for inside, source in pack.sources.items():
            module = inside.removesuffix(".py").replace("/", ".").removesuffix("__init__").rstrip(".")
            inner = cls.__module__.partition("@")[2].partition(".")[2]
            if (line := line_of(source, cls.__name__)) and (module == inner or not pack.path.is_dir()):
                return f"{pack.file(inside)}, line {line}"
    return str(pack.path) if pack is not None else cls.__module__


def names_in(pack: Pack) -> list[str]:
    """The nodes that a pack declares at the top of its files, as far as can be told without running it.

    Of a file that Python cannot read, too, so that a graph that uses one can be told where it went.
    """
    return [name.decode() for source in pack.sources.values() for name in _NODE.findall(source)]


def line_of(source: bytes, cls: str, field: str | None = None) -> int | None:
    """The line on which a class, or one of its fields or methods, is declared; None if it is not there."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == cls:
            return next((item.lineno for item in node.body if field in _declared(item)), node.lineno)
    return None


def _declared(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.AnnAssign):
        targets: list[ast.expr] = [statement.target]
    elif isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    else:
        return []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _place(pack: Pack, error: BaseException) -> tuple[Path, int | None]:
    files = {str(pack.file(inside)): pack.sources[inside] for inside in pack.sources}
    if isinstance(error, SyntaxError) and error.filename in files:
        return Path(error.filename), error.lineno
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    if not frames:
        return pack.path, None
    file, line = frames[-1].filename, frames[-1].lineno
    if isinstance(error, BadNode):
        line = line_of(files[file], error.cls, error.field) or line
    return Path(file), line


def _sentence(error: BaseException) -> str:
    if isinstance(error, BadNode):
        return str(error)
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    return said(error)


def _fix(pack: Pack, error: BaseException) -> str:
    missing = error.name or "" if isinstance(error, ModuleNotFoundError) else ""
    if (other := pack_name(missing)) is not None:
        return f"mend the pack {other}, or bring it back"
    first = missing.partition(".")[0]
    if first and any(inside.split("/")[0] in (first, f"{first}.py") for inside in pack.sources):
        return f"write `from .{first} import ...`: the files of a pack find one another by a dot"
    if first and (pack.path.parent / f"{first}.py").is_file():
        return (
            f"write `from {ROOT}.{first} import ...`, or put both files into one folder with an __init__.py"
        )
    if first:
        return f"install {first} into this environment, then save the file again"
    return "mend it and save; it is read again by itself"
