"""What a run says while it runs: small facts, in order, for progress bars, journals and servers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from engine.errors import Problem

if TYPE_CHECKING:
    from engine.plan import Plan
    from engine.step import Step

State = str
"""Of a node: `done`, `cached`, `failed`, `skipped`, `cancelled`; of a run: `done`, `failed`, `cancelled`."""


@dataclass(frozen=True, slots=True)
class Planned:
    """The run knows what it will do; steps that are answered by the store are not heard of again."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Grown:
    """The run has learned of further steps: of elements of a list, or of a graph that a node returned."""

    node: str
    steps: Sequence[Step] = field(repr=False)


class Started(NamedTuple):  # a tuple is made in a third of the time, and each step makes two of them
    """A step has its inputs and begins."""

    node: str


@dataclass(frozen=True, slots=True)
class Progress:
    """A step has come so far: `value` of `total` units."""

    node: str
    value: int
    total: int | None
    rate: float | None
    """Units a second, over all of them so far."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A step shows what it has so far; the picture is whatever the node made, to be encoded by a face."""

    node: str
    picture: object = field(repr=False)


@dataclass(frozen=True, slots=True)
class Warned:
    """Something is not as it should be, and the run goes on."""

    message: str
    node: str | None = None


class Done(NamedTuple):
    """A step has its outputs; `cache` is where they came from, or `none` if they were computed."""

    node: str
    seconds: float
    cache: str = "none"
    key: str | None = None
    """Its content key; None if its result means nothing to a later run."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A result that was there, or was said to be, is not; the step is done again."""

    node: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A step could not finish."""

    node: str
    seconds: float
    problem: Problem
    trace: str = field(repr=False, default="")


@dataclass(frozen=True, slots=True)
class Skipped:
    """A step could not begin, because of another one."""

    node: str
    because: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is over."""

    state: State
    seconds: float


Event = Planned | Grown | Started | Progress | Preview | Warned | Done | Missed | Failed | Skipped | Finished
Emit = Callable[[Event], None]
