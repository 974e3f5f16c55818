"""Types that carry their control: what an input looks like, and what it accepts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import BaseMetadata, Ge, GroupedMetadata, Le

SEED_MAX = 2**53 - 1
"""The largest whole number that JSON carries unharmed through a browser."""


class Widget:
    """What a canvas or a form draws for an input; it lands in the node's schema under `x-widget`."""

    def describe(self) -> dict[str, Any]:
        """The control as JSON: its `kind` and its options."""
        raise TypeError(f"{type(self).__name__} does not say what it draws")


@dataclass(frozen=True)
class Range(Widget, GroupedMetadata):
    """A number between two ends, both included; `step` is what one click of an arrow adds."""

    min: float
    max: float
    step: float | None = None

    def __iter__(self) -> Iterator[BaseMetadata]:
        yield Ge(self.min)
        yield Le(self.max)

    def describe(self) -> dict[str, Any]:
        """A number field with arrows."""
        return {"kind": "number", "min": self.min, "max": self.max, "step": self.step}


@dataclass(frozen=True)
class SeedField(Widget):
    """A seed: fixed, or new for each run."""

    def describe(self) -> dict[str, Any]:
        """A seed field."""
        return {"kind": "seed"}


@dataclass(frozen=True)
class TextField(Widget):
    """Text of one or of many lines."""

    multiline: bool = False

    def describe(self) -> dict[str, Any]:
        """A text field."""
        return {"kind": "text", "multiline": self.multiline}


@dataclass(frozen=True)
class FileIn(Widget):
    """The name of a file in one of the folders of a kind, such as `checkpoints`."""

    kind: str

    def describe(self) -> dict[str, Any]:
        """A picker over the files of that kind."""
        return {"kind": "file", "choices_from": self.kind}


Seed = Annotated[int, SeedField(), Range(0, SEED_MAX)]
"""Where randomness starts: the same seed, the same result."""

Text = Annotated[str, TextField(multiline=True)]
"""Text of many lines, such as a prompt."""
