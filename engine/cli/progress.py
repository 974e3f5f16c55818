"""How a run looks while it runs: bars on a terminal, a few plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from engine.cli import say
from engine.events import Done, Event, Failed, Planned, Progress, Started, Warned

if TYPE_CHECKING:
    from rich.progress import TaskID

LINE_SECONDS = 5.0
"""How often it is told, where there is no terminal, how far a step has come."""

MOST_LINES = 100
"""Of more steps than this, not each gets its lines."""


class View(AbstractContextManager["View"], Protocol):
    """Shows events while it is entered."""

    def __call__(self, event: Event) -> None:
        """Take in one event; called from any thread, one at a time."""
        ...


def view(quiet: bool) -> View:
    """The view that fits where stderr leads."""
    if quiet:
        return Silent()
    return Bars() if sys.stderr.isatty() else Lines()


def _warning(event: Warned) -> str:
    return f"{event.node}: {event.message}" if event.node else event.message


class Silent:
    """Says nothing but warnings."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, event: Event) -> None:
        """Pass warnings on."""
        if isinstance(event, Warned):
            say.warn(_warning(event))


class Lines(Silent):
    """A line when a step begins, when it ends, and now and then between; of very many steps, only a count."""

    def __init__(self) -> None:
        self._told = time.monotonic()
        self._ran = self._steps = 0

    def __call__(self, event: Event) -> None:
        """Say the event, if it is worth a line."""
        few = self._steps <= MOST_LINES
        match event:
            case Planned(plan):
                self._steps = len(plan.to_run)
            case Started(node) if few:
                say.err(f"{node} ...")
            case Progress(node, value, total, rate) if self._due():
                say.err(f"{node}: {_count(value, total)} {_rate(rate)}".rstrip())
            case Done(node, seconds, "none"):
                self._ran += 1
                if few:
                    say.err(f"{node}: done in {seconds:.2f} s")
                elif self._due():
                    say.err(f"{self._ran:,} of {self._steps:,} steps")
            case Failed(node, seconds):
                say.err(f"{node}: failed after {seconds:.2f} s")
            case _:
                super().__call__(event)

    def _due(self) -> bool:
        now = time.monotonic()
        due = now - self._told >= LINE_SECONDS
        if due:
            self._told = now
        return due


class Bars(Silent):
    """A bar for the run, named by the step that began last, and one for each step that says how far it is."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Display

        self._display = Display(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[count]}", markup=False),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._bars: dict[str, TaskID] = {}
        self._run: TaskID | None = None
        self._ran = self._steps = 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop()

    def __call__(self, event: Event) -> None:
        """Move the bars."""
        match event:
            case Planned(plan):
                self._steps = len(plan.to_run)
                if self._steps:
                    self._display.start()
                    count = _count(0, self._steps)
                    self._run = self._display.add_task("run", total=self._steps, count=count, rate="")
            case Started(node) if self._run is not None:
                self._display.update(self._run, description=f"run: {node}")
            case Progress(node, value, total, rate):
                if node not in self._bars:
                    if value == total:
                        return  # a new bar is drawn at once, which is too dear for a step that is over
                    self._bars[node] = self._display.add_task(node, count="", rate="")
                count = _count(value, total)
                bar = self._bars[node]
                self._display.update(bar, completed=value, total=total, count=count, rate=_rate(rate))
            case Done(node) | Failed(node):
                self._over(node)
            case Warned():
                from rich.text import Text

                self._display.console.print(Text(say.line(f"warning: {_warning(event)}")))
            case _:
                pass

    def _over(self, node: str) -> None:
        if node in self._bars:
            self._display.remove_task(self._bars.pop(node))
        self._ran += 1
        if self._run is not None:
            self._display.update(self._run, completed=self._ran, count=_count(self._ran, self._steps))


def _count(value: int, total: int | None) -> str:
    return f"{value}/{total}" if total is not None else str(value)


def _rate(rate: float | None) -> str:
    if rate is None:
        return ""
    return f"{rate:.1f} steps/s" if rate >= 1 else f"{1 / max(rate, 1e-9):.1f} s/step"
