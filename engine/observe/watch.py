"""Interfaces for observing runs in detail: events, steps and other work that takes time."""

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
"""Returns the reason a step runs or does not run."""


class Watcher(Lifecycle, Protocol):
    """Observes runs; it is the outermost lifecycle of each step, and a listener."""

    why: Why
    """Explains steps; set before the run begins."""

    def __call__(self, event: Event) -> None:
        """Handle one event; called from any thread, one at a time."""
        ...

    def span(self, name: str, **facts: object) -> AbstractContextManager[None]:
        """A span of time on the calling thread."""
        ...

    def close(self) -> None:
        """End all open spans and files, also after a failure."""
        ...


class Watch:
    """Combines several watchers in a context manager that closes them; costs almost nothing without watchers.

    Args:
        measured: measures the memory of steps for them.
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
        """Give the watchers the function that explains steps."""
        for watcher in self._watchers:
            watcher.why = why

    @property
    def memory(self) -> dict[str, StepMemory]:
        """The memory of each step, if it is measured."""
        return {} if self._measured is None else self._measured.memory

    @property
    def lifecycles(self) -> list[Lifecycle]:
        """The lifecycles around those of the engine, the outermost first."""
        measured = [] if self._measured is None else [self._measured]
        return [*self._watchers, *measured]

    def __call__(self, event: Event) -> None:
        """Pass an event to all watchers."""
        for watcher in self._watchers:
            watcher(event)

    @contextmanager
    def span(self, name: str, **facts: object) -> Iterator[None]:
        """Record the time of the block as a span, in every watcher that records spans."""
        with ExitStack() as stack:
            for watcher in self._watchers:
                stack.enter_context(watcher.span(name, **facts))
            yield

    def residency(self, residency: Residency) -> Residency:
        """The cache of loaded models, with a span around each load."""
        return residency.watched(self.span) if self._watchers else residency

    def store(self, store: Store) -> Store:
        """The store, with a span around each read and write."""
        return WatchedStore(store, self.span) if self._watchers else store


def no_reason(step: Step) -> str:
    """The `Why` of a watcher before the run begins."""
    return ""


class WatchedStore(Store):
    """A store with a span around each read and write."""

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
