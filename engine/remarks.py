"""What nodes warned of while they made results that are kept: said again whenever those results are used."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from engine import strict_json, whole_file
from engine.errors import GraphError
from engine.events import Done, Emit, Event, Grown, Planned, Started, Warned
from engine.values import canonical

if TYPE_CHECKING:
    from engine.plan import Plan
    from engine.step import Step

KEPT = 2000
"""Of how many results the warnings are kept; the oldest go first."""
MOST, LONGEST = 50, 2000
"""How many warnings of one result are kept, and how many characters of each."""


class Remarks:
    """Passes events on, and adds the warnings that came with results taken from the store.

    They lie beside the store and not in it, one small file a result, since hardly any result has some. What
    cannot be read or written here is not worth a word.

    Args:
        folder: made when there is something to keep; None keeps nothing.
        emit: is told every event, and the old warnings as `Warned`.
    """

    def __init__(self, folder: Path | None, emit: Emit) -> None:
        self.said: dict[str, list[str]] = {}
        """The warnings of each step of this run, those of its kept result included, by the step's id."""
        self._folder, self._emit = folder, emit
        self._kept: set[str] = set()
        self._plan: Plan | None = None
        if folder is not None:
            with suppress(OSError):
                self._kept = set(os.listdir(folder))

    def of(self, node: str) -> list[str]:
        """The warnings of a node, or of the equal one whose result it shares."""
        step = self._step(node)
        return self.said.get((step.leader or step).id if step is not None else node, [])

    def __call__(self, event: Event) -> None:
        """Pass an event on."""
        self._emit(event)
        match event:
            case Planned(plan):
                self._plan = plan
                self._repeat_all(plan.steps.values())
            case Grown(_, steps):
                self._repeat_all(steps)
            case Started(node):
                self.said.pop(node, None)
            case Warned(message, str(node)):
                self.said.setdefault(node, []).append(message)
            case Done(node, _, cache):
                if (made := self._step(node)) is not None:
                    self._keep(made) if cache == "none" else self._repeat(made)
            case _:
                pass

    def _step(self, node: str) -> Step | None:
        return None if self._plan is None else self._plan.steps.get(node)

    def _repeat_all(self, steps: Iterable[Step]) -> None:
        """Repeat what was said of those steps whose results are used and not made."""
        if self._kept:
            for step in steps:
                if step.action in ("reuse", "unneeded"):
                    self._repeat(step)

    def _repeat(self, step: Step) -> None:
        name = f"{step.key}.json"
        if self._folder is None or name not in self._kept or step.id in self.said:
            return
        try:
            messages = strict_json.parse((self._folder / name).read_bytes())
        except (OSError, GraphError):
            return
        if isinstance(messages, list):
            self.said[step.id] = [message for message in messages if isinstance(message, str)]
            for message in self.said[step.id]:
                self._emit(Warned(message, step.id))

    def _keep(self, step: Step) -> None:
        messages = [message[:LONGEST] for message in self.said.get(step.id, [])[:MOST]]
        if not messages or self._folder is None or step.key is None or not step.keep:
            return
        with suppress(OSError, ValueError):
            self._folder.mkdir(parents=True, exist_ok=True)
            whole_file.replace(self._folder / f"{step.key}.json", canonical(messages))
            self._kept.add(f"{step.key}.json")
            self._prune(self._folder)

    def _prune(self, folder: Path) -> None:
        if len(self._kept) <= KEPT:
            return
        there = sorted((path.stat().st_mtime_ns, path.name) for path in folder.iterdir())
        for _, name in there[: len(there) - KEPT * 9 // 10]:
            (folder / name).unlink(missing_ok=True)
            self._kept.discard(name)
