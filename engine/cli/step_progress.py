"""Describes the progress of a step in words: its count, speed, remaining time and newest metrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from engine.cli import say
from engine.events import Published


class NewestNumbers:
    """The newest metrics that each running step has reported, such as the loss of a training."""

    def __init__(self) -> None:
        self._nodes: dict[str, dict[str, float | None]] = defaultdict(dict)

    def add(self, node: str, rows: Iterable[Mapping[str, float | None]]) -> None:
        """Add rows of metrics. `step` and marks are left out, since the progress shows the step already."""
        for row in rows:
            numbers = {name: number for name, number in row.items() if name not in ("step", "resumed")}
            self._nodes[node].update(numbers)

    def remove(self, node: str) -> None:
        """Remove the metrics of a step that has ended."""
        self._nodes.pop(node, None)

    def of(self, node: str) -> str:
        """Format the newest metrics of a step: `loss 0.0812, rate 0.005`; empty if it has reported none."""
        named = self._nodes.get(node, {}).items()
        return ", ".join(f"{say.line(name).replace('_', ' ')} {_number(number)}" for name, number in named)


class PublishedFolders:
    """Names the folder into which each step publishes files, such as the samples of a training."""

    def __init__(self) -> None:
        self._nodes: set[str] = set()

    def first(self, event: Published) -> str:
        """Return a line with the folder for the first file that a step publishes; empty for later files."""
        if event.node in self._nodes:
            return ""
        self._nodes.add(event.node)
        return f"{event.node}: publishes files in {Path(event.path).parents[event.name.count('/')]}"


def count(value: int, total: int | None, stage: str | None = None) -> str:
    """Format the number of finished units, such as `20/150`, after the name of the stage."""
    number = f"{value}/{total}" if total is not None else str(value)
    return f"{say.line(stage)} {number}" if stage else number


def speed(value: int, total: int | None, rate: float | None, unit: str | None = None) -> str:
    """Format the speed and the remaining time: `4.0 steps/s, 33 s left`; empty if the speed is unknown."""
    if not rate:
        return ""
    unit = say.line(unit or "steps")
    shown = f"{rate:.1f} {unit}/s" if rate >= 1 else f"{1 / rate:.1f} s/{unit.removesuffix('s')}"
    if total is None or value >= total:
        return shown
    return f"{shown}, {_duration((total - value) / rate)} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60:,} h {minutes % 60} min"


def _number(number: float | None) -> str:
    return "not finite" if number is None else f"{number:.3g}"
