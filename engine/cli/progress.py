"""Shows the progress of a run on stderr: bars on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from engine.cli import say, step_progress
from engine.cli.step_progress import NewestNumbers, PublishedFolders
from engine.events import (
    Done,
    Event,
    Failed,
    Metrics,
    Planned,
    PlannedStep,
    Progress,
    Published,
    Skipped,
    Started,
    StepsAdded,
    Warned,
)

if TYPE_CHECKING:
    from rich.progress import TaskID

LINE_SECONDS = 5.0
"""The seconds between two progress lines of a run if stderr is not a terminal."""

MOST_LINES = 100
"""A run with more steps shows a count instead of a line for each step."""


class View(AbstractContextManager["View"], Protocol):
    """A context manager that shows the events of a run."""

    def __call__(self, event: Event) -> None:
        """Show one event; called from any thread, by one thread at a time."""
        ...


def view(quiet: bool) -> View:
    """Create the view for this process's stderr: bars, lines, or warnings only."""
    if quiet:
        return Silent()
    return Bars() if sys.stderr.isatty() else Lines()


def _warning(event: Warned) -> str:
    return f"{event.node}: {event.message}" if event.node else event.message


class Silent:
    """A view that shows only warnings."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, event: Event) -> None:
        """Print the event if it is a warning."""
        if isinstance(event, Warned):
            say.warn(_warning(event))


@dataclass
class Tally:
    """The number of steps to run, and how many of them have finished."""

    total: int = 0
    ended: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return step_progress.count(self.ended, self.total)


class Tallies:
    """Counts the steps of a run, and those of each node that goes through a list."""

    def __init__(self) -> None:
        self.run = Tally()
        self._waiting: set[str] = set()
        self._nodes: dict[str, Tally] = {}

    def expect(self, steps: Iterable[PlannedStep], node: str = "") -> None:
        """Add steps of the plan that must run to the counts.

        Args:
            steps: the new steps.
            node: the node that added them during the run, so that those marked as unneeded run too; None for
                the steps of the plan.
        """
        for step in steps:
            runs = step.action == "run" or (
                node and step.action == "unneeded" and step.id.startswith(f"{node}[")
            )
            if runs and not step.is_list:
                self.run.total += 1
                self._waiting.add(step.id)
                if "[" in step.id:
                    self._nodes.setdefault(whole(step.id), Tally()).total += 1

    def start(self, node: str) -> None:
        """Record that a step has started; add it to the counts if the plan did not know that it would run."""
        if node not in self._waiting:
            self.run.total += 1
            self._waiting.add(node)

    def of(self, node: str) -> Tally | None:
        """Return the counts of an element's node; None if the node does not go through a list."""
        tally = self._nodes.get(whole(node)) if "[" in node else None
        return tally if tally is not None and tally.total > 1 else None

    def end(self, node: str, seconds: float = 0.0) -> None:
        """Record that a step has finished, if it was counted as one to run."""
        if node not in self._waiting:
            return
        self._waiting.remove(node)
        self.run.ended += 1
        if "[" in node and (tally := self._nodes.get(whole(node))) is not None:
            tally.ended += 1
            tally.seconds += seconds


def whole(node: str) -> str:
    """Return the node id of a list element: `denoise` for `denoise[2]`."""
    return re.sub(r"\[\d+\]", "", node)


class Lines(Silent):
    """A view that prints a line when a step begins, when it ends, and every few seconds in between.

    For a run of many steps, and for the elements of a node that goes through a list, it prints counts.
    """

    def __init__(self) -> None:
        self._last_line = time.monotonic()
        self._tallies = Tallies()
        self._numbers, self._folders = NewestNumbers(), PublishedFolders()
        self._started: set[str] = set()

    def __call__(self, event: Event) -> None:
        """Print a line for the event if one is due."""
        match event:
            case Planned(steps=steps):
                self._tallies.expect(steps)
            case StepsAdded(node, steps):
                self._tallies.expect(steps, node)
            case Started(node):
                self._tallies.start(node)
                self._begin(node)
            case Progress(node, value, total, rate, unit, stage) if self._due():
                count = step_progress.count(value, total, stage)
                speed = step_progress.speed(value, total, rate, unit)
                known = [part for part in (f"{count} {speed}".rstrip(), self._numbers.of(node)) if part]
                say.err(f"{node}: {', '.join(known)}")
            case Metrics(node, rows):
                self._numbers.add(node, rows)
            case Published() if line := self._folders.first(event):
                say.err(line)
            case Done(node, seconds):
                self._numbers.remove(node)
                self._tallies.end(node, seconds)
                self._end(node, seconds, computed=event.cache == "none")
            case Failed(node, seconds):
                self._numbers.remove(node)
                self._tallies.end(node, seconds)
                say.err(f"{node}: failed after {seconds:.2f} s")
            case Skipped(node):
                self._tallies.end(node)
            case _:
                super().__call__(event)

    def _begin(self, node: str) -> None:
        tally = self._tallies.of(node)
        if self._tallies.run.total > MOST_LINES and tally is None:
            return
        if tally is None:
            say.err(f"{node} ...")
        elif whole(node) not in self._started:
            self._started.add(whole(node))
            say.err(f"{whole(node)}: {tally.total:,} elements ...")

    def _end(self, node: str, seconds: float, computed: bool) -> None:
        tally, run = self._tallies.of(node), self._tallies.run
        if tally is not None:
            if tally.ended == tally.total:
                say.err(f"{whole(node)}: {tally.total:,} elements done in {tally.seconds:.2f} s")
            elif self._due():
                say.err(f"{whole(node)}: {tally.ended:,} of {tally.total:,} elements")
        elif run.total <= MOST_LINES and computed:
            say.err(f"{node}: done in {seconds:.2f} s")
        elif run.total > MOST_LINES and self._due():
            say.err(f"{run.ended:,} of {run.total:,} steps")

    def _due(self) -> bool:
        now = time.monotonic()
        due = now - self._last_line >= LINE_SECONDS
        if due:
            self._last_line = now
        return due


class Bars(Silent):
    """A view with a bar for the run, which names the last started step, and one for each step with progress.

    A node that goes through a list has a bar that counts its elements.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Display

        self._display = Display(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[count]}", markup=False),
            TextColumn("{task.fields[speed]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[numbers]}", markup=False),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,  # text that nodes print is captured as events and printed to stderr
        )
        self._bars: dict[str, TaskID] = {}
        self._run: TaskID | None = None
        self._tallies = Tallies()
        self._numbers, self._folders = NewestNumbers(), PublishedFolders()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop()

    def __call__(self, event: Event) -> None:
        """Update the bars."""
        match event:
            case Planned(steps=steps):
                self._expect(steps)
            case StepsAdded(node, steps):
                self._expect(steps, node)
            case Started(node):
                self._tallies.start(node)
                self._draw_total()
                if self._run is not None:
                    self._display.update(self._run, description=f"run: {node}")
            case Progress(node, value, total, rate, unit, stage):
                if node not in self._bars:
                    if value == total:
                        return  # a finished step needs no new bar
                    self._bars[node] = self._add(node)
                self._display.update(
                    self._bars[node],
                    completed=value,
                    total=total,
                    count=step_progress.count(value, total, stage),
                    speed=step_progress.speed(value, total, rate, unit),
                    numbers=self._numbers.of(node),
                )
            case Metrics(node, rows):
                self._numbers.add(node, rows)
            case Published() if line := self._folders.first(event):
                self._print(line)
            case Done(node) | Failed(node) | Skipped(node):
                self._remove(node)
            case Warned():
                self._print(f"warning: {_warning(event)}")
            case _:
                pass

    def _print(self, line: str) -> None:
        from rich.text import Text

        self._display.console.print(Text(say.line(line)))

    def _add(self, name: str, total: int | None = None, count: str = "") -> TaskID:
        return self._display.add_task(name, total=total, count=count, speed="", numbers="")

    def _expect(self, steps: Iterable[PlannedStep], node: str = "") -> None:
        self._tallies.expect(steps, node)
        self._draw_total()

    def _draw_total(self) -> None:
        tally = self._tallies.run
        if self._run is not None:
            self._display.update(self._run, total=tally.total, count=str(tally))
        elif tally.total:
            self._display.start()
            self._run = self._add("run", tally.total, str(tally))

    def _remove(self, node: str) -> None:
        self._tallies.end(node)
        self._numbers.remove(node)
        if node in self._bars:
            self._display.remove_task(self._bars.pop(node))
        if (tally := self._tallies.of(node)) is not None:
            self._count_element(whole(node), tally)
        if self._run is not None:
            run = self._tallies.run
            self._display.update(self._run, completed=run.ended, count=str(run))

    def _count_element(self, node: str, tally: Tally) -> None:
        if tally.ended == tally.total:
            if node in self._bars:
                self._display.remove_task(self._bars.pop(node))
            return
        if node not in self._bars:
            self._bars[node] = self._add(node)
        count = f"{tally} elements"
        self._display.update(self._bars[node], completed=tally.ended, total=tally.total, count=count)
