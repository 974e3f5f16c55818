"""Interfaces for observing runs in detail: their events, steps, and other work that takes time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from engine.devices.residency import Residency, Span
from engine.events import Event
from engine.observe.step_memory import MemoryMeasurement, StepMemory
from engine.plan.step import Step
from engine.run.lifecycle import Lifecycle
from engine.store.store import Result, Store, StoredResult
from engine.values import Packed

Why = Callable[[Step], str]
"""A function that returns the reason why a step runs or does not run."""


class Watcher(Lifecycle, Protocol):
    """Protocol of objects that observe a run: listeners that are also the outermost lifecycle of steps."""

    why: Why
    """Returns the reason why a step runs; set before the run begins."""

    def __call__(self, event: Event) -> None:
        """Handle one event; called from any thread, one at a time."""
        ...

    def span(self, name: str, **facts: object) -> AbstractContextManager[None]:
        """Context manager that records the time of its block, on the calling thread, under a name."""
        ...

    def close(self) -> None:
        """End all open spans and close all files, also after a failure."""
        ...


class Watch:
    """Context manager that combines watchers and closes them; without watchers it costs almost nothing.

    Args:
        measured: measures the memory of steps for the watchers.
    """

    def __init__(self, measured: MemoryMeasurement | None = None) -> None:
        self._measured = measured
        self._watchers: list[Watcher] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for watcher in self._watchers:
            watcher.close()
        if self._measured is not None:
            self._measured.close()

    def add(self, watcher: Watcher) -> None:
        """Add a watcher."""
        self._watchers.append(watcher)

    def explain(self, why: Why) -> None:
        """Pass the function that explains steps to all watchers."""
        for watcher in self._watchers:
            watcher.why = why

    @property
    def memory(self) -> dict[str, StepMemory]:
        """The peak memory of each step, keyed by the step's id; empty if it is not measured."""
        return {} if self._measured is None else self._measured.memory

    def memory_of(self, step: str) -> dict[str, int | None] | None:
        """The memory of a step as JSON; None if it is not measured."""
        memory = self.memory.get(step)
        return None if memory is None else memory.as_json()

    @property
    def lifecycles(self) -> list[Lifecycle]:
        """The lifecycles that run around those of the engine, the outermost first."""
        measured = [] if self._measured is None else [self._measured]
        return [*self._watchers, *measured]

    def __call__(self, event: Event) -> None:
        """Pass an event to all watchers."""
        for watcher in self._watchers:
            watcher(event)

    @contextmanager
    def span(self, name: str, **facts: object) -> Iterator[None]:
        """Context manager that records the time of its block as a span in every watcher."""
        with ExitStack() as stack:
            for watcher in self._watchers:
                stack.enter_context(watcher.span(name, **facts))
            yield

    def residency(self, residency: Residency) -> Residency:
        """Return a view of the cache of loaded models that records a span for each load."""
        return residency.watched(self.span) if self._watchers else residency

    def store(self, store: Store) -> Store:
        """Return a wrapper of the store that records a span for each read and write."""
        return WatchedStore(store, self.span) if self._watchers else store


def no_reason(step: Step) -> str:
    """The value of `Watcher.why` until the run begins: returns an empty reason."""
    return ""


class WatchedStore(Store):
    """A wrapper of a store that records a span for each read and write."""

    def __init__(self, store: Store, span: Span) -> None:
        self._store, self._span = store, span

    def where(self, keys: Sequence[str]) -> dict[str, StoredResult]:
        """See `Store.where`."""
        with self._span("query the store", keys=len(keys)):
            return self._store.where(keys)

    def load(self, key: str) -> Result | None:
        """See `Store.load`."""
        with self._span("read from the store", key=key):
            return self._store.load(key)

    def packed(self, key: str, output: str) -> Packed | None:
        """See `Store.packed`."""
        with self._span("read from the store", key=key, output=output):
            return self._store.packed(key, output)

    def save(self, key: str, result: Result) -> None:
        """See `Store.save`."""
        with self._span("write to the store", key=key):
            self._store.save(key, result)

    def drop_live(self, key: str) -> None:
        """See `Store.drop_live`."""
        self._store.drop_live(key)

    def touch(self, key: str) -> None:
        """See `Store.touch`."""
        self._store.touch(key)

    def count(self, hits: Mapping[str, int]) -> None:
        """See `Store.count`."""
        self._store.count(hits)

    def free_disk(self, place: Path, size: int, last: Sequence[str] = ()) -> bool:
        """See `Store.free_disk`."""
        return self._store.free_disk(place, size, last)

    def flush(self) -> None:
        """See `Store.flush`."""
        with self._span("flush the store"):
            self._store.flush()

    def close(self) -> None:
        """See `Store.close`."""
        self._store.close()
