"""Finds node types: built in and installed (entry points), and files in a user's folder."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib.machinery import SourceFileLoader
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from engine.errors import Problem, said
from engine.node import Node, NodeType
from engine.values import Json, sha256

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
        self.types: dict[str, NodeType] = {}
        self.problems: list[Problem] = []
        self.annotators: list[Annotate] = []
        for cls in types:
            self.add(cls)

    def add(self, cls: type[Node], code: str = "") -> None:
        """Take in one node class."""
        node_type = replace(cls.node_type, code=code) if code else cls.node_type
        self.types[node_type.name] = node_type

    def add_module(self, module: ModuleType, code: str = "") -> None:
        """Take in every node class that a module offers, and its `annotate` if it has one.

        A name that is taken stays with whoever had it first, so that no pack can pass for another.
        """
        for item in list(vars(module).values()):
            if not (isinstance(item, type) and issubclass(item, Node) and "node_type" in vars(item)):
                continue
            there = self.types.get(item.node_type.name)
            if there is None:
                self.add(item, code)
            elif there.cls is not item:  # and not one that this module only imports
                message = f"{module.__name__} brings a {there.name}, a name that {there.cls.__module__} has"
                hint = "give its class another name"
                self.problems.append(Problem("name_taken", message, hint=hint, severity="warning"))
        if callable(annotate := getattr(module, "annotate", None)):
            self.annotators.append(annotate)

    def near(self, name: str) -> str | None:
        """A hint with the names that look like this one."""
        return near(name, self.types)

    @classmethod
    def find(cls, folders: Sequence[Path] = ()) -> Registry:
        """Every type that is installed, and every `*.py` file (or package) in the given folders.

        A pack that cannot be loaded becomes a problem with its file and line, and harms nothing else.
        """
        registry = cls()
        for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
            try:
                registry.add_module(point.load())
            except (Exception, SystemExit) as error:  # the code of a pack may do anything
                registry.problems.append(_broken(point.value, error))
        for folder in folders:
            try:
                packs = _packs(folder)
            except OSError as error:
                registry.problems.append(_broken(str(folder), error))
                continue
            for path in packs:
                registry.add_file(path)
        return registry

    def add_file(self, path: Path) -> None:
        """Take in a user's file or package folder as a pack."""
        try:
            code = _digest(path)
            self.add_module(_import(path), code)
        except (Exception, SystemExit) as error:
            self.problems.append(_broken(str(path), error))


def near(name: str, known: Iterable[str]) -> str | None:
    """A hint with the known names that look like a mistyped one; None when none does."""
    folded = {other.lower(): other for other in known}
    matches = [folded[match] for match in get_close_matches(name.lower(), folded, n=3, cutoff=0.6)]
    return f"did you mean {' or '.join(matches)}?" if matches else None


def _packs(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = [
        path
        for path in folder.iterdir()
        if not path.name.startswith((".", "_")) and (path.suffix == ".py" or (path / "__init__.py").is_file())
    ]
    return sorted(found)


def _digest(path: Path) -> str:
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return sha256(b"".join(sha256(file.read_bytes()).encode() for file in files))


class _Source(SourceFileLoader):
    """Runs what the file says now: bytecode that Python kept may be of what it said a moment ago."""

    def get_code(self, fullname: str) -> CodeType | None:
        return self.source_to_code(self.get_data(self.path), self.path)


def _import(path: Path) -> ModuleType:
    name = f"safelight_user_nodes.{path.stem}"
    source = str(path / "__init__.py" if path.is_dir() else path)
    folders = [str(path)] if path.is_dir() else None
    spec = spec_from_file_location(name, loader=_Source(name, source), submodule_search_locations=folders)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    _forget(name)
    module = module_from_spec(spec)
    sys.modules[name] = module  # so that annotations and pickles of the module's own names resolve
    keeps_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # also of what a package imports
    try:
        spec.loader.exec_module(module)
    except BaseException:
        _forget(name)
        raise
    finally:
        sys.dont_write_bytecode = keeps_bytecode
    return module


def _forget(name: str) -> None:
    """Drop a pack that was loaded before, and the modules inside it."""
    for loaded in [other for other in sys.modules if other == name or other.startswith(f"{name}.")]:
        del sys.modules[loaded]


def _broken(place: str, error: BaseException) -> Problem:
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError):
        where = f"{error.filename}, line {error.lineno}"
    else:
        where = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else place
    return Problem(
        "broken_pack",
        f"the node pack {place} cannot be loaded: {said(error)} ({where})",
        hint="mend the file, or move it out of the nodes folder",
        severity="warning",
    )
