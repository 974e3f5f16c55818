"""Makes the problems for packs that cannot be loaded: they name the file, the line and the fix."""

from __future__ import annotations

import ast
import os
import re
import traceback
from pathlib import Path
from types import ModuleType

from engine.errors import Problem, error_text
from engine.node import Node
from engine.packs.pack import Pack
from engine.packs.pack_modules import pack_name
from engine.types.bad_node import BadNode

_NODE = re.compile(
    rb"^class\s+(\w+)\s*\(\s*(?!Value|NamedTuple|Protocol|TypedDict|\w*Enum|\w*Error)\w", re.MULTILINE
)
_ENGINE = str(Path(__file__).parents[1]) + os.sep


def broken_pack(pack: Pack, error: BaseException) -> Problem:
    """Make the problem for a user's pack that cannot be loaded.

    It names a file and line of the pack, even if a library raised the error.
    """
    file, line = _place(pack, error)
    where = f"{file}, line {line}" if line else str(file)
    missing = names_in(pack)
    plural = "these nodes are" if len(missing) > 1 else "this node is"
    effect = f"; until then {plural} missing: {', '.join(missing)}" if missing else ""
    return Problem(
        "broken_pack",
        f"the node pack {pack.name} cannot be loaded: {where}: {_sentence(error)}",
        hint=f"{_fix(pack, error)}{effect}",
        severity="warning",
    )


def broken_module(place: str, error: BaseException) -> Problem:
    """Make the problem for an installed pack that cannot be loaded; it names the module."""
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
        f"the node pack {place} cannot be loaded: {error_text(error)}{where}",
        hint="update the package that contains it, or uninstall it",
        severity="warning",
    )


def unreadable(path: Path, error: OSError) -> Problem:
    """Make the problem for a pack or a nodes folder that cannot be read."""
    message = f"{path} cannot be read: {error.strerror or error}"
    return Problem("broken_pack", message, hint="check its permissions", severity="warning")


def no_node(pack: Pack, module: ModuleType) -> Problem | None:
    """Make the problem for a pack whose node classes have no `run`; None if the pack has no node classes."""
    for item in vars(module).values():
        if isinstance(item, type) and issubclass(item, Node) and item.__module__ == module.__name__:
            message = f"{place_of(item, pack)}: {item.__name__} has no run(), so it is not a node type"
            hint = "give it `def run(self, ctx: Context) -> ...:`"
            return Problem("no_node", message, hint=hint, severity="warning")
    return None


def place_of(cls: type, pack: Pack | None) -> str:
    """Find where a class is declared: the file and line in a user's pack, the module in an installed one."""
    if pack is not None and pack_name(cls.__module__) == pack.name:
        for inside, source in pack.sources.items():
            module = inside.removesuffix(".py").replace("/", ".").removesuffix("__init__").rstrip(".")
            inner = cls.__module__.partition("@")[2].partition(".")[2]
            if (line := line_of(source, cls.__name__)) and (module == inner or not pack.path.is_dir()):
                return f"{pack.file(inside)}, line {line}"
    return str(pack.path) if pack is not None else cls.__module__


def names_in(pack: Pack) -> list[str]:
    """Find the names of the node classes in a pack's source, without running it.

    So a graph with a node of a broken pack reports the problem of that pack.
    """
    return [name.decode() for source in pack.sources.values() for name in _NODE.findall(source)]


def line_of(source: bytes, cls: str, field: str | None = None) -> int | None:
    """Find the line that declares a class, or one of its fields or methods.

    None if the source does not contain the class or cannot be parsed.
    """
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
    return error_text(error)


def _fix(pack: Pack, error: BaseException) -> str:
    missing = error.name or "" if isinstance(error, ModuleNotFoundError) else ""
    if (other := pack_name(missing)) is not None:
        return f"correct the pack {other}, or restore it"
    first = missing.partition(".")[0]
    if first and any(inside.split("/")[0] in (first, f"{first}.py") for inside in pack.sources):
        return f"write `from .{first} import ...`; imports between the files of a pack begin with a dot"
    if first and (pack.path.parent / f"{first}.py").is_file():
        return f"write `from .{first} import ...`; imports between files of the nodes folder begin with a dot"
    if first:
        return f"install {first} into this environment, then save the file again"
    return "correct the file and save it; it is then loaded again"
