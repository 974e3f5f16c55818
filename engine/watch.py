"""What follows a run closely when asked for: each event, each step, and what takes time between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import TracebackType
from typing import Protocol, Self

from engine.events import Event
from engine.lifecycles.lifecycle import Lifecycle
from engine.lifecycles.measured import Measured, Memory
from engine.store.store import Held, Result, Store
from engine.values import Packed

Span = Callable[..., AbstractContextManager[None]]
"""`span(name, **said)`: a stretch of time on the calling thread, with plain facts about it."""


class Watcher(Lifecycle, Protocol):
    """One who follows runs: as the outermost lifecycle of each step, and as a listener."""

    def __call__(self, event: Event) -> None:
        """Take in one event; called from any thread, one at a time."""
        ...

    def span(self, name: str, **said: object) -> AbstractContextManager[None]:
        """A stretch of time on the calling thread."""
        ...

    def close(self) -> None:
        """Bring what was begun to an end, also after a failure."""
        ...


class Watch:
    """Several watchers as one, closed when it is left; without any it costs next to nothing.

    Args:
        measured: what measures the memory of steps for them.
    """

    def __init__(self, measured: Measured | None = None) -> None:
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
        """Have one more follow."""
        self._watchers.append(watcher)

    @property
    def memory(self) -> dict[str, Memory]:
        """What each step took, as far as that was measured."""
        return {} if self._measured is None else self._measured.memory

    @property
    def lifecycles(self) -> list[Lifecycle]:
        """What goes around the engine's own lifecycles, outermost first."""
        measured = [] if self._measured is None else [self._measured]
        return [*self._watchers, *measured]

    def __call__(self, event: Event) -> None:
        """Tell everybody."""
        for watcher in self._watchers:
            watcher(event)

    @contextmanager
    def span(self, name: str, **said: object) -> Iterator[None]:
        """A stretch of time, for everybody."""
        with ExitStack() as stack:
            for watcher in self._watchers:
                stack.enter_context(watcher.span(name, **said))
            yield

    def store(self, store: Store) -> Store:
        """The same store, its reads and writes watched."""
        return WatchedStore(store, self.span) if self._watchers else store


class WatchedStore:
    """A store whose reads and writes are told as spans."""

    def __init__(self, store: Store, span: Span) -> None:
        self._store, self._span = store, span

    def where(self, keys: Sequence[str]) -> dict[str, Held]:
        """See `Store.where`."""
        with self._span("look into the store", keys=len(keys)):
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
        with self._span("write into the store", key=key):
            self._store.save(key, result)

    def flush(self) -> None:
        """See `Store.flush`."""
        with self._span("flush the store"):
            self._store.flush()

    def close(self) -> None:
        """See `Store.close`."""
        self._store.close()
