"""Selects the reading (text) of a prompt that is used at each sampling step."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from engine.values import Json
from nodes.sd.families.family import NO_HINTS, SizeHints
from nodes.sd.prompts.control import Control
from nodes.sd.prompts.regions import EVERYWHERE, Region, Span

if TYPE_CHECKING:
    from torch import Tensor


class Timeline(NamedTuple):
    """The schedule of a prompt with `[a:b:0.5]` or `[a|b]`: which of its readings holds at which step."""

    fractions: tuple[float, ...] = ()
    """The switches after a fraction of the steps, in rising order."""
    steps: tuple[int, ...] = ()
    """The switches after a number of steps, in rising order."""
    cycle: int = 1
    """The number of steps after which alternating options repeat."""
    table: tuple[int, ...] = (0,)
    """The number of the reading, for each number of passed `fractions`, of passed `steps`, and step of the
    cycle."""

    def at(self, step: int, total: int) -> int:
        """Return the number of the reading for a step, counted from 0, of `total` steps.

        A switch at the fraction f happens after the first int(f * total) steps, as in A1111.
        """
        by_fraction = bisect_left([int(fraction * total) for fraction in self.fractions], step + 1)
        by_step = bisect_left(self.steps, step + 1)
        return self._reading(by_fraction, by_step, step)

    def _reading(self, fractions: int, steps: int, step: int) -> int:
        """Return the reading after these numbers of passed `fractions` and `steps`."""
        row = fractions * (len(self.steps) + 1) + steps
        return self.table[row * self.cycle + step % self.cycle]

    def joined(self, other: Timeline) -> tuple[Timeline, list[tuple[int, int]]]:
        """Make a timeline that switches wherever this one or the other does.

        Returns it, and for each of its readings the readings of both timelines.
        """
        fractions = tuple(sorted({*self.fractions, *other.fractions}))
        steps = tuple(sorted({*self.steps, *other.steps}))
        cycle = math.lcm(self.cycle, other.cycle)
        pairs: dict[tuple[int, int], int] = {}
        table = []
        for row in product(range(len(fractions) + 1), range(len(steps) + 1), range(cycle)):
            one, two = (
                timeline._after(fractions[: row[0]], steps[: row[1]], row[2]) for timeline in (self, other)
            )
            table.append(pairs.setdefault((one, two), len(pairs)))
        return Timeline(fractions, steps, cycle, tuple(table)), list(pairs)

    def _after(self, fractions: tuple[float, ...], steps: tuple[int, ...], step: int) -> int:
        """Return the reading after this timeline's own switches among the given ones."""
        passed = sum(fraction in fractions for fraction in self.fractions)
        return self._reading(passed, sum(switch in steps for switch in self.steps), step)


class PromptPart(NamedTuple):
    """An encoded prompt, or one of the parts that `AND` joins."""

    encodings: tuple[Tensor, ...]
    """The encodings of its readings, each float32 [1, 77 * chunks, width]."""
    timeline: Timeline = Timeline()
    weight: float = 1.0
    """The weight of this part; it multiplies the guidance."""
    pooled: tuple[Tensor, ...] = ()
    """The pooled vector of each reading, float32 [1, width]; empty if the model uses none."""
    size: SizeHints = NO_HINTS
    """The size conditioning of the picture, for model families that use it."""
    group: int = 0
    """The prompt that this part belongs to. Parts of one prompt add up; several prompts are averaged."""
    region: Region = EVERYWHERE
    """The region in which its prompt acts, equal for all parts of one prompt."""
    span: Span = Span()
    """The range in which its prompt acts, equal for all parts of one prompt."""
    controls: tuple[Control, ...] = ()
    """The ControlNets that act together with this part; their effects add up."""
    guidance: float | None = None
    """The distilled guidance, for models that read one (FLUX.1 dev); None for the model's usual one."""

    def at(self, step: int, total: int) -> Tensor:
        """Return the encoding for a step, counted from 0, of `total`: float32 [1, 77 * chunks, width]."""
        return self.encodings[self.timeline.at(step, total)]

    def pooled_at(self, step: int, total: int) -> Tensor:
        """Return the pooled vector for a step, float32 [1, width]; `pooled` must not be empty."""
        return self.pooled[self.timeline.at(step, total)]

    def as_json(self) -> Json:
        """Convert the part to JSON, with the number of its encodings instead of the encodings."""
        fractions, steps, cycle, table = self.timeline
        plain: dict[str, Json] = {
            "weight": self.weight,
            "readings": len(self.encodings),
            "fractions": list(fractions),
            "steps": list(steps),
            "cycle": cycle,
            "table": list(table),
            "group": self.group,
            "region": self.region.as_json(),
            "span": list(self.span),
            "controls": [control.as_json() for control in self.controls],
        }
        if self.size != NO_HINTS:
            plain["size"] = size_as_json(self.size)
        return plain if self.guidance is None else {**plain, "guidance": self.guidance}

    def tensors(self, number: int) -> dict[str, Tensor]:
        """Return the tensors of the part, by names that begin with `number`."""
        named = {f"{number}.{reading}": rows for reading, rows in enumerate(self.encodings)}
        if self.region.mask is not None:
            named[f"{number}.mask"] = self.region.mask
        named |= {f"{number}.control.{place}": one.hint for place, one in enumerate(self.controls)}
        named |= {f"{number}.{reading}.pooled": vector for reading, vector in enumerate(self.pooled)}
        return named

    @classmethod
    def from_json(cls, plain: Any, number: int, tensors: Mapping[str, Tensor]) -> Self:
        """Restore a part from the JSON of `as_json` and its tensors; see `tensors`."""
        timeline = Timeline(
            tuple(plain["fractions"]), tuple(plain["steps"]), plain["cycle"], tuple(plain["table"])
        )
        names = [f"{number}.{reading}" for reading in range(plain["readings"])]
        return cls(
            tuple(tensors[name] for name in names),
            timeline,
            plain["weight"],
            tuple(tensors[f"{name}.pooled"] for name in names if f"{name}.pooled" in tensors),
            size_from_json(plain.get("size")),
            plain["group"],
            Region.from_json(plain["region"], f"{number}.mask", tensors),
            Span(*plain["span"]),
            tuple(
                Control.from_json(control, tensors[f"{number}.control.{place}"])
                for place, control in enumerate(plain["controls"])
            ),
            plain.get("guidance"),
        )


def size_as_json(size: SizeHints) -> Json:
    """Convert size hints to JSON."""
    return [list(pair) if isinstance(pair, tuple) else pair for pair in size]


def size_from_json(plain: Any) -> SizeHints:
    """Restore size hints from the JSON of `size_as_json`; None means no hints."""
    fields: list[Any] = [tuple(pair) if isinstance(pair, list) else pair for pair in plain or ()]
    return SizeHints(*fields)
