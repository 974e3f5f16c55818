"""Learning rates that change with the step: A1111's `0.005:100, 1e-3:1000, 1e-5`, warmup and decay."""

from __future__ import annotations

import math
import re
from typing import Literal, NamedTuple

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_STEP = re.compile(r"\+?\d+|-1")


class RatePart(NamedTuple):
    """One rate of a schedule."""

    rate: float
    until: int | None
    """The last step that has this rate, counted from 1; None for all further steps."""


class RateSchedule(NamedTuple):
    """The learning rate of each step."""

    parts: tuple[RatePart, ...]

    @property
    def end(self) -> int | None:
        """The last step of the schedule, where training ends; None if the schedule has no end."""
        return self.parts[-1].until

    def at(self, step: int) -> float:
        """Return the rate of a step, counted from 0. After the end of the schedule it is the last rate."""
        for part in self.parts:
            if part.until is None or step < part.until:
                return part.rate
        return self.parts[-1].rate


Decay = Literal["none", "linear", "cosine"]
"""How a learning rate falls to 0 until the last step."""


class RateShape(NamedTuple):
    """The factor of a learning rate: it rises from 0 and falls to 0 as in diffusers' scripts."""

    warmup: int
    """The number of steps in which the rate rises along a line."""
    decay: Decay
    steps: int
    """The number of steps of the training."""

    def factor(self, step: int) -> float:
        """Return the factor of a step, counted from 0."""
        if step < self.warmup:
            return step / self.warmup
        if self.decay == "none":
            return 1.0
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return max(0.0, 1 - done if self.decay == "linear" else 0.5 + 0.5 * math.cos(math.pi * min(done, 1)))


def parse_rates(text: str) -> RateSchedule:
    """Parse a learning rate schedule: parts `rate:step` or `rate`, separated by commas.

    `0.005:100, 1e-3:1000, 1e-5` is 0.005 through step 100, 0.001 through step 1000, then 0.00001 to the end.
    A part without a step, or with the step -1, is the last one. As in A1111, training ends with the last step
    of a schedule; unlike there, a part that is never used is an error.

    Raises:
        ValueError: the text is not a schedule; the message names the place of the first wrong character.
    """
    parts: list[RatePart] = []
    at = 0
    for written in text.split(","):
        place = at + len(written) - len(written.lstrip()) + 1
        at += len(written) + 1
        if not written.strip():
            continue
        if parts and parts[-1].until is None:
            raise _bad(
                place, f"{written.strip()!r} is never used, because the rate before it has no last step"
            )
        parts.append(_part(written.strip(), place, parts))
    if not parts:
        raise ValueError("The rate is empty. Write a number such as 0.005.")
    return RateSchedule(tuple(parts))


def _part(written: str, place: int, before: list[RatePart]) -> RatePart:
    number, colon, step = (piece.strip() for piece in written.partition(":"))
    if not _NUMBER.fullmatch(number) or not math.isfinite(rate := float(number)) or rate < 0:
        raise _bad(place, f"{number!r} is not a number of at least 0")
    if not colon or step == "-1":
        return RatePart(rate, None)
    if not _STEP.fullmatch(step) or len(step) > 9:
        raise _bad(place + written.index(":") + 1, f"{step!r} is not a step")
    last = before[-1].until if before else 0
    assert last is not None
    if int(step) <= last:
        raise _bad(place + written.index(":") + 1, f"step {step} is not after step {last}")
    return RatePart(rate, int(step))


def _bad(place: int, why: str) -> ValueError:
    return ValueError(f"It cannot be read at character {place}: {why}.")
