"""Which of several readings of a prompt counts at which step."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from engine.values import Json

if TYPE_CHECKING:
    from torch import Tensor


class Timeline(NamedTuple):
    """Chooses a reading by the step, whatever the number of steps will be."""

    fractions: tuple[float, ...] = ()
    """Switches after a fraction of the steps, rising."""
    steps: tuple[int, ...] = ()
    """Switches after a number of steps, rising."""
    cycle: int = 1
    """After how many steps turns that are taken begin again."""
    table: tuple[int, ...] = (0,)
    """The reading for each number of switched fractions, of switched steps, and each step of the cycle."""

    def at(self, step: int, total: int) -> int:
        """The reading that counts at a step, counted from 0, out of `total`.

        A switch after the fraction f leaves the first int(f * total) steps as they were, as in A1111.
        """
        by_fraction = bisect_left([int(fraction * total) for fraction in self.fractions], step + 1)
        by_step = bisect_left(self.steps, step + 1)
        row = by_fraction * (len(self.steps) + 1) + by_step
        return self.table[row * self.cycle + step % self.cycle]


class PromptPart(NamedTuple):
    """A prompt, or one of several that `AND` joins."""

    encodings: tuple[Tensor, ...]
    """Its readings, each float32 [1, 77 * chunks, width]."""
    timeline: Timeline = Timeline()
    weight: float = 1.0
    """How strongly it pulls, beside the guidance."""

    def at(self, step: int, total: int) -> Tensor:
        """What the UNet reads at a step, counted from 0, out of `total`."""
        return self.encodings[self.timeline.at(step, total)]

    def as_json(self) -> Json:
        """All but its encodings, as plain JSON; how many those are is in it."""
        fractions, steps, cycle, table = self.timeline
        return {
            "weight": self.weight,
            "readings": len(self.encodings),
            "fractions": list(fractions),
            "steps": list(steps),
            "cycle": cycle,
            "table": list(table),
        }

    @classmethod
    def from_json(cls, told: Any, number: int, tensors: Mapping[str, Tensor]) -> Self:
        """The part that `as_json` told of, the one of that number, with the tensors `number.reading`."""
        timeline = Timeline(
            tuple(told["fractions"]), tuple(told["steps"]), told["cycle"], tuple(told["table"])
        )
        encodings = tuple(tensors[f"{number}.{reading}"] for reading in range(told["readings"]))
        return cls(encodings, timeline, told["weight"])
