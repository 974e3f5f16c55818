"""Saves the warnings of nodes beside their results, and repeats them when those results are reused."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from engine import strict_json, whole_file
from engine.errors import GraphError
from engine.events import Done, Emit, Event, Planned, PlannedStep, Started, StepsAdded, Warned
from engine.values import canonical

MOST_RESULTS = 2000
"""The number of results whose warnings are kept; the oldest are deleted first."""
MOST_WARNINGS, LONGEST_WARNING = 50, 2000
"""The most warnings kept for one result, and the most characters of each."""


class KeptWarnings:
    """A listener that forwards events, and adds the warnings that were saved with reused results.

    Few results have warnings, so each of these has a small file for them beside the store. A file that cannot
    be read or written is ignored.

    Args:
        folder: the folder of the files, which is created with the first one; None to keep no warnings.
        emit: receives every event, and a `Warned` for each kept warning.
    """

    def __init__(self, folder: Path | None, emit: Emit) -> None:
        self._folder, self._emit = folder, emit
        self._by_node: dict[str, list[str]] = {}
        self._by_key: dict[str, list[str]] = {}
        self._same_as: dict[str, str] = {}
        self._files: set[str] = set()
        if folder is not None:
            with suppress(OSError):
                self._files = set(os.listdir(folder))

    def of(self, node: str) -> list[str]:
        """Return the warnings of a node in this run, including those saved with its reused result."""
        return self._by_node.get(self._same_as.get(node, node), [])

    def __call__(self, event: Event) -> None:
        """Forward an event, and save or repeat warnings."""
        self._emit(event)
        match event:
            case Planned(steps=steps) | StepsAdded(steps=steps):
                self._expect(steps)
            case Started(node):
                self._by_node.pop(node, None)
            case Warned(message, str(node)):
                self._by_node.setdefault(node, []).append(message)
            case Done(node, _, cache, str(key)):
                self._keep(node, key) if cache == "none" else self._repeat(node, key)
            case _:
                pass

    def _expect(self, steps: Iterable[PlannedStep]) -> None:
        """Repeat the warnings of the steps that will not run."""
        for step in steps:
            if step.same_as is not None:
                self._same_as[step.id] = step.same_as
            elif self._files and step.key is not None and step.action in ("reuse", "unneeded"):
                self._repeat(step.id, step.key)

    def _repeat(self, node: str, key: str) -> None:
        if node in self._by_node:
            return
        if key in self._by_key:  # sent or repeated already, for an equal step
            self._by_node[node] = self._by_key[key]
            return
        name = f"{key}.json"
        if self._folder is None or name not in self._files:
            return
        try:
            messages = strict_json.parse((self._folder / name).read_bytes())
        except (OSError, GraphError):
            return
        if isinstance(messages, list):
            kept = [message for message in messages if isinstance(message, str)]
            self._by_node[node] = self._by_key[key] = kept
            for message in kept:
                self._emit(Warned(message, node))

    def _keep(self, node: str, key: str) -> None:
        if node not in self._by_node:
            return
        self._by_key[key] = self._by_node[node]
        messages = [message[:LONGEST_WARNING] for message in self._by_node[node][:MOST_WARNINGS]]
        if self._folder is None:
            return
        with suppress(OSError, ValueError):
            self._folder.mkdir(parents=True, exist_ok=True)
            whole_file.replace(self._folder / f"{key}.json", canonical(messages))
            self._files.add(f"{key}.json")
            self._prune(self._folder)

    def _prune(self, folder: Path) -> None:
        if len(self._files) <= MOST_RESULTS:
            return
        files = sorted((path.stat().st_mtime_ns, path.name) for path in folder.iterdir())
        for _, name in files[: len(files) - MOST_RESULTS * 9 // 10]:
            (folder / name).unlink(missing_ok=True)
            self._files.discard(name)
