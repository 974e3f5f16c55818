"""Puts off the import of torch's compiler until something is compiled.

diffusers and transformers import `torch._dynamo`, which takes nearly as long as torch itself, only to mark
some of their functions for the compiler. Until it is needed, a module in its place keeps these marks.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any, Literal

_NAME = "torch._dynamo"
_INDEPENDENT = f"{_NAME}._trace_wrapped_higher_order_op"
"""A module of the compiler that transformers imports, and that needs no other module of the compiler."""


def defer_compiler() -> None:
    """Put off the import of torch's compiler, unless it is imported already or torch is missing."""
    torch = None if _NAME in sys.modules else find_spec("torch")
    spec = torch and PathFinder.find_spec(_NAME, torch.submodule_search_locations)
    if spec is not None:
        compiler = sys.modules[_NAME] = _DeferredCompiler(spec)
        sys.meta_path.insert(0, _CompilerFirst(compiler))


class _DeferredCompiler(ModuleType):
    """Stands for `torch._dynamo`, and becomes it as soon as anything but a mark is read.

    Marks only tell the compiler what to do with a function, so they are applied when it is imported.
    """

    def __init__(self, spec: ModuleSpec) -> None:
        super().__init__(spec.name)
        self.__dict__.update(vars(module_from_spec(spec)))
        self._deferred = _Deferred(self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        deferred: _Deferred = vars(self)["_deferred"]
        if name in deferred.marks and deferred.state == "deferred":
            return deferred.marks[name]
        deferred.import_now()
        return object.__getattribute__(self, name)


class _Deferred:
    """The marks of a compiler that is not imported yet, and its import."""

    def __init__(self, compiler: ModuleType) -> None:
        self.state: Literal["deferred", "importing", "imported"] = "deferred"
        self.marks: dict[str, Callable[..., Any]] = {
            "allow_in_graph": functools.partial(self._mark, "allow_in_graph"),
            "assume_constant_result": functools.partial(self._mark, "assume_constant_result"),
            "disable": self._disable,
        }
        self._compiler = compiler
        self._lock = threading.RLock()
        self._afterwards: list[Callable[[], None]] = []

    def import_now(self) -> None:
        """Import the compiler; does nothing in the thread that is importing it."""
        with self._lock:
            if self.state != "deferred":
                return
            spec = self._compiler.__spec__
            assert spec is not None
            assert spec.loader is not None
            self.state = "importing"
            try:
                spec.loader.exec_module(self._compiler)
            except BaseException:
                self.state = "deferred"
                raise
            self.state = "imported"
            for mark in self._afterwards:
                mark()

    def _mark(self, name: str, function: Any) -> Any:
        """Keep a mark; returns the function."""
        self._afterwards.append(lambda: getattr(self._compiler, name)(function))
        return function

    def _disable(self, function: Any = None, recursive: bool = True, **options: Any) -> Any:
        """Return the function in a form that the compiler leaves alone."""
        if function is None:
            return functools.partial(self._disable, recursive=recursive, **options)

        called = [function]

        def disable() -> None:
            called[0] = self._compiler.disable(function, recursive, **options)

        @functools.wraps(function)
        def call(*args: Any, **keywords: Any) -> Any:
            return called[0](*args, **keywords)

        self._afterwards.append(disable)
        return call


class _CompilerFirst(MetaPathFinder):
    """Imports the compiler before one of its modules, as Python does for any package."""

    def __init__(self, compiler: _DeferredCompiler) -> None:
        self._deferred = compiler._deferred

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module that was imported with the compiler; None for all others."""
        in_compiler = fullname.startswith(f"{_NAME}.") and fullname != _INDEPENDENT
        if not in_compiler or self._deferred.state != "deferred":
            return None
        self._deferred.import_now()
        return ModuleSpec(fullname, _Imported()) if fullname in sys.modules else None


class _Imported(Loader):
    """Returns a module that is imported already."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module itself."""
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to run."""
