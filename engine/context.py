"""What a node may ask for while it runs: progress, previews, warnings, device, files, loaded models."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar, overload

from engine.errors import Cancelled
from engine.events import Emit, Preview, Progress, Warned
from engine.files import Files
from engine.graph import Graph
from engine.residency import Recipe, Residency

T = TypeVar("T")

REPORTS_A_SECOND = 20
"""How often a step's progress is told at most; the newest wins."""


class Cancel:
    """A wish to stop, that any thread may express and every step looks at."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def ask(self) -> None:
        """Ask the run to stop at its next opportunity."""
        self._event.set()

    @property
    def asked(self) -> bool:
        """True once somebody asked."""
        return self._event.is_set()

    def check(self) -> None:
        """Stop here if somebody asked.

        Raises:
            Cancelled: somebody did.
        """
        if self._event.is_set():
            raise Cancelled


class Context:
    """Handed to `Node.run`; one for each step."""

    __slots__ = ("_cancel", "_emit", "_residency", "device", "files", "node")

    def __init__(
        self, node: str, emit: Emit, cancel: Cancel, files: Files, residency: Residency, device: str
    ) -> None:
        self.node = node
        """The id of the node that runs."""
        self.files = files
        """Finds files by kind and name."""
        self.device = device
        """What to compute on: `cpu`, `cuda`, `cuda:1`, `mps`."""
        self._emit, self._cancel, self._residency = emit, cancel, residency

    @overload
    def track(self, work: int) -> Iterator[int]: ...
    @overload
    def track(self, work: Iterable[T], total: int | None = None) -> Iterator[T]: ...
    def track(self, work: int | Iterable[T], total: int | None = None) -> Iterator[T] | Iterator[int]:
        """Go through `work` one by one, with progress and a chance to be cancelled before each.

        After the last one nothing is cancelled here: what is finished is worth keeping.

        Args:
            work: what to iterate over; a number stands for `range(number)`.
            total: how many there are, if `work` cannot say.

        Raises:
            Cancelled: the run was asked to stop.
        """
        if isinstance(work, int):
            return self._track(range(work), work)
        if total is None and isinstance(work, Sized):
            total = len(work)
        return self._track(work, total)

    def _track(self, work: Iterable[T], total: int | None) -> Iterator[T]:
        start = last = time.perf_counter()
        iterator = iter(work)
        count = 0
        while True:
            if count != total:
                self._cancel.check()  # before the next is made: what is made already is not thrown away
            try:
                item = next(iterator)
            except StopIteration:
                return
            yield item
            count += 1
            now = time.perf_counter()
            if now - last >= 1 / REPORTS_A_SECOND or count == total:
                last = now
                rate = count / (now - start) if now > start else None
                self._emit(Progress(self.node, count, total, rate))

    def preview(self, picture: object) -> None:
        """Show what there is so far; faces draw it when they can and drop it when they cannot."""
        self._emit(Preview(self.node, picture))

    def warn(self, message: str) -> None:
        """Say that something is not as it should be; the run goes on."""
        self._emit(Warned(str(message), self.node))

    def cancelled(self) -> None:
        """A chance to be cancelled, for work that has no steps to track.

        Raises:
            Cancelled: the run was asked to stop.
        """
        self._cancel.check()

    def expand(self, graph: Graph) -> Any:
        """What `run` returns to have a graph run in the node's place: `return ctx.expand(graph)`.

        The graph's outputs are named as the node's; what it binds to a `Param` is what the node's own input
        of that name is given. Its steps are planned, cached and shown as if they had been wired there.
        """
        return graph

    def use(self, recipe: Recipe[T]) -> T:
        """What a recipe stands for, loaded on the device; kept there for the next step that asks."""
        return self._residency.use(recipe, self.device, self.files)
