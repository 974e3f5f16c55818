"""Keeps the time for importing libraries out of the times of steps, and makes imports faster.

torch and diffusers take seconds to import, once in a process. This must not count as the time of the step
that happens to import them first: users see that time, and the store keeps the results of slow steps longer.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType

from engine.gc_pause import gc_paused
from engine.plan.step import Step

_MANY = 20_000
"""A library counts as large if importing it makes more than this many objects."""


def import_libraries(steps: Iterable[Step]) -> None:
    """Import the libraries that several node types name, before their steps start.

    So no step waits while another step imports them. A library that only one node type names is left to its
    nodes, which may not need it. An import that fails is ignored: the node fails with a message of its own.

    Args:
        steps: the steps of a plan; only those that certainly run are considered.
    """
    types = {id(step.bound.type): step.bound.type for step in steps if step.action == "run"}
    named = [library for node_type in types.values() for library in node_type.libraries]
    for library in sorted(set(named)):
        if named.count(library) > 1 and library not in sys.modules and library.isidentifier():
            try:
                if importlib.util.find_spec(library) is not None:
                    importlib.import_module(library)
            except Exception:  # the code of a library may raise anything
                continue


class ImportTime(MetaPathFinder):
    """Measures the time that each thread spends on imports.

    It is the first finder in `sys.meta_path`, asks the other finders for each module, and measures how long
    the module runs, including the imports that the module makes itself. Python's garbage collector is paused
    during that: importing makes hardly any garbage, and searching for it takes an eighth of the time. The
    objects of a large library are excluded from later searches.
    """

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self._importing: set[int] = set()  # the threads that run a measured module
        self._users = 0
        self._lock = threading.Lock()

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure the imports within a `with` block."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                sys.meta_path.insert(0, self)
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    sys.meta_path.remove(self)

    def clock(self) -> float:
        """Return the clock of this thread in seconds, without the time that it has spent on imports."""
        return time.perf_counter() - self._seconds.get(threading.get_ident(), 0.0)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the spec of a module, and make its loader measure how long the module runs."""
        if threading.get_ident() in self._importing:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if isinstance(spec.loader, SourceFileLoader):
                    self._measure(spec.loader)
                return spec
        return None

    def _measure(self, loader: SourceFileLoader) -> None:
        run = loader.exec_module

        def measured(module: ModuleType) -> None:
            del loader.exec_module
            thread, start = threading.get_ident(), time.perf_counter()
            self._importing.add(thread)
            try:
                with gc_paused:
                    run(module)
                    if gc.get_count()[0] > _MANY:
                        gc.freeze()
            finally:
                self._importing.discard(thread)
                self._seconds[thread] = self._seconds.get(thread, 0.0) + time.perf_counter() - start

        loader.exec_module = measured  # type: ignore[method-assign]


IMPORT_TIME = ImportTime()
