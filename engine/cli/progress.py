"""How a run looks while it runs: bars on a terminal, a few plain lines elsewhere; always on stderr."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from engine.cli import say
from engine.events import Done, Event, Failed, Grown, Planned, Progress, Skipped, Started, Warned
from engine.step import Gather, Step

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


@dataclass
class Tally:
    """How many steps there are to do, and how many of them are over."""

    total: int = 0
    over: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return _count(self.over, self.total)


class Tallies:
    """How far a run is, and each of its nodes that go through lists."""

    def __init__(self) -> None:
        self.run = Tally()
        self._ahead: set[str] = set()
        self._nodes: dict[str, Tally] = {}

    def expect(self, steps: Iterable[Step], node: str = "") -> None:
        """Count the steps that are to run.

        Args:
            steps: all that are known.
            node: what has brought them; its own elements are to run unless they are there, whatever the plan
                says, which did not know of them.
        """
        for step in steps:
            runs = step.action == "run" or (step.action == "unneeded" and step.id.startswith(f"{node}["))
            if runs and not isinstance(step, Gather):
                self.run.total += 1
                self._ahead.add(step.id)
                if "[" in step.id:
                    self._nodes.setdefault(whole(step.id), Tally()).total += 1

    def of(self, node: str) -> Tally | None:
        """That of the node that a step is an element of, if it is one of several."""
        tally = self._nodes.get(whole(node)) if "[" in node else None
        return tally if tally is not None and tally.total > 1 else None

    def end(self, node: str, seconds: float = 0.0) -> None:
        """Say that a step is over; of others than those that were to run, it does not matter."""
        if node not in self._ahead:
            return
        self._ahead.remove(node)
        self.run.over += 1
        if "[" in node and (tally := self._nodes.get(whole(node))) is not None:
            tally.over += 1
            tally.seconds += seconds


def whole(node: str) -> str:
    """The node that a step is an element of: `denoise` for `denoise[2]`."""
    return re.sub(r"\[\d+\]", "", node)


class Lines(Silent):
    """A line when a step begins, when it ends, and now and then between; of very many steps, only a count.

    The elements of a node that goes through lists are counted, too, and have no lines of their own.
    """

    def __init__(self) -> None:
        self._told = time.monotonic()
        self._tallies = Tallies()
        self._begun: set[str] = set()

    def __call__(self, event: Event) -> None:
        """Say the event, if it is worth a line."""
        match event:
            case Planned(plan):
                self._tallies.expect(plan.to_run)
            case Grown(node, steps):
                self._tallies.expect(steps, node)
            case Started(node):
                self._began(node)
            case Progress(node, value, total, rate) if self._due():
                say.err(f"{node}: {_count(value, total)} {_rate(rate)}".rstrip())
            case Done(node, seconds):
                self._tallies.end(node, seconds)
                self._ended(node, seconds, computed=event.cache == "none")
            case Failed(node, seconds):
                self._tallies.end(node, seconds)
                say.err(f"{node}: failed after {seconds:.2f} s")
            case Skipped(node):
                self._tallies.end(node)
            case _:
                super().__call__(event)

    def _began(self, node: str) -> None:
        tally = self._tallies.of(node)
        if self._tallies.run.total > MOST_LINES and tally is None:
            return
        if tally is None:
            say.err(f"{node} ...")
        elif whole(node) not in self._begun:
            self._begun.add(whole(node))
            say.err(f"{whole(node)}: {tally.total:,} elements ...")

    def _ended(self, node: str, seconds: float, computed: bool) -> None:
        tally, run = self._tallies.of(node), self._tallies.run
        if tally is not None:
            if tally.over == tally.total:
                say.err(f"{whole(node)}: {tally.total:,} elements done in {tally.seconds:.2f} s")
            elif self._due():
                say.err(f"{whole(node)}: {tally.over:,} of {tally.total:,} elements")
        elif run.total <= MOST_LINES and computed:
            say.err(f"{node}: done in {seconds:.2f} s")
        elif run.total > MOST_LINES and self._due():
            say.err(f"{run.over:,} of {run.total:,} steps")

    def _due(self) -> bool:
        now = time.monotonic()
        due = now - self._told >= LINE_SECONDS
        if due:
            self._told = now
        return due


class Bars(Silent):
    """A bar for the run, named by the step that began last, and one for each step that says how far it is.

    A node that goes through lists has a bar that counts its elements.
    """

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
        self._tallies = Tallies()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop()

    def __call__(self, event: Event) -> None:
        """Move the bars."""
        match event:
            case Planned(plan):
                self._expect(plan.to_run)
            case Grown(node, steps):
                self._expect(steps, node)
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
            case Done(node) | Failed(node) | Skipped(node):
                self._over(node)
            case Warned():
                from rich.text import Text

                self._display.console.print(Text(say.line(f"warning: {_warning(event)}")))
            case _:
                pass

    def _expect(self, steps: Iterable[Step], node: str = "") -> None:
        tally = self._tallies.run
        self._tallies.expect(steps, node)
        if self._run is not None:
            self._display.update(self._run, total=tally.total, count=str(tally))
        elif tally.total:
            self._display.start()
            self._run = self._display.add_task("run", total=tally.total, count=str(tally), rate="")

    def _over(self, node: str) -> None:
        self._tallies.end(node)
        if node in self._bars:
            self._display.remove_task(self._bars.pop(node))
        if (tally := self._tallies.of(node)) is not None:
            self._count_element(whole(node), tally)
        if self._run is not None:
            run = self._tallies.run
            self._display.update(self._run, completed=run.over, count=str(run))

    def _count_element(self, node: str, tally: Tally) -> None:
        if tally.over == tally.total:
            if node in self._bars:
                self._display.remove_task(self._bars.pop(node))
            return
        if node not in self._bars:
            self._bars[node] = self._display.add_task(node, count="", rate="")
        count = f"{tally} elements"
        self._display.update(self._bars[node], completed=tally.over, total=tally.total, count=count)


def _count(value: int, total: int | None) -> str:
    return f"{value}/{total}" if total is not None else str(value)


def _rate(rate: float | None) -> str:
    if rate is None:
        return ""
    return f"{rate:.1f} steps/s" if rate >= 1 else f"{1 / max(rate, 1e-9):.1f} s/step"
