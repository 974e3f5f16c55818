"""Imports the networks of diffusers without libraries that Safelight does not need for them.

Their modules import transformers, peft and torch._dynamo for loaders and hooks that Safelight does not use;
this takes longer than drawing a small picture. Here they receive placeholders, each of which imports its
library when it is first used. Other modules, such as diffusers' pipelines, import the libraries themselves.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

LIBRARIES = ("transformers", "peft", "torch._dynamo")
PACKAGES = frozenset(
    [
        "diffusers",
        *(f"diffusers.models.{kind}" for kind in ("unets", "autoencoders", "transformers", "controlnets")),
    ]
)
"""The packages that are imported with placeholders. They import all modules of the networks."""


class _Later:
    """A placeholder for a name in a library that is not imported yet."""

    def __init__(self, module: str, name: str) -> None:
        self._place = module, name
        self._real: Any = None

    def _found(self) -> Any:
        if self._real is None:
            module, name = self._place
            _remove(_library(module))
            self._real = getattr(import_module(module), name)
        return self._real

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._found(), name)

    def __call__(self, *given: Any, **named: Any) -> Any:
        return self._found()(*given, **named)

    def __instancecheck__(self, thing: object) -> bool:
        return _is_imported(self._place[0]) and isinstance(thing, self._found())

    def __subclasscheck__(self, kind: type) -> bool:
        return _is_imported(self._place[0]) and issubclass(kind, self._found())

    def __or__(self, other: object) -> object:
        return self  # in the type of a parameter

    __ror__ = __or__

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        return (self._found(),)


class _LaterModule(ModuleType):
    """A placeholder for a module in a library that is not imported yet."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self.__name__ == "torch._dynamo" and name in _MARKS:
            return _MARKS[name]
        return _Later(self.__name__, name)


def _unmarked(thing: Any = None, *_: object, **__: object) -> Any:
    return thing if thing is not None else _unmarked


_MARKS: dict[str, Callable[..., Any]] = {"allow_in_graph": _unmarked, "disable": _unmarked}
"""Decorators for code that torch.compile must not trace: hooks of offloading, which Safelight never
compiles; and for classes that it need not trace."""


class _Placeholders(MetaPathFinder, Loader):
    """An import hook that replaces the libraries by placeholders while the networks are imported."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a package, or of a placeholder while a package is imported; else None."""
        if self._depth and isinstance(sys.modules.get(_library(fullname)), _LaterModule):
            return ModuleSpec(fullname, self, is_package=True)
        if fullname not in PACKAGES or (spec := PathFinder.find_spec(fullname, path, target)) is None:
            return None
        loader: Any = spec.loader
        run = loader.exec_module

        def lean(module: ModuleType) -> None:
            with self._in_place():
                run(module)

        loader.exec_module = lean
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make a placeholder for a module."""
        return _LaterModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: a placeholder has no code."""

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        import_module("torch")
        with self._lock:
            self._depth += 1
            for name in LIBRARIES:
                if name not in sys.modules and find_spec(name) is not None:
                    sys.modules[name] = module_from_spec(ModuleSpec(name, self, is_package=True))
        try:
            yield  # without the lock: another thread may hold the import lock of a module that is needed here
        finally:
            with self._lock:
                self._depth -= 1
                if not self._depth:
                    for name in LIBRARIES:
                        _remove(name)


def _library(module: str) -> str:
    return next((name for name in LIBRARIES if f"{module}.".startswith(f"{name}.")), "")


def _is_imported(module: str) -> bool:
    """Return whether a library is imported; before that, no object can be an instance of its classes."""
    return type(sys.modules.get(_library(module), _ABSENT)) is not _LaterModule


_ABSENT = _LaterModule("absent")


def _remove(library: str) -> None:
    """Remove the placeholders of a library, so that the next import finds the library itself."""
    names = [name for name in list(sys.modules) if f"{name}.".startswith(f"{library}.")]
    for name in names:
        if isinstance(sys.modules.get(name), _LaterModule):
            del sys.modules[name]


def install() -> None:
    """Install the import hook, which affects all later imports of the networks."""
    sys.meta_path.insert(0, _Placeholders())
