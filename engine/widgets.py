"""Widgets: annotations of an input's type that define its control in the user interface and its limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final

from annotated_types import BaseMetadata, Ge, GroupedMetadata, Le

SEED_MAX = 2**53 - 1
"""The largest integer that a browser reads exactly from JSON."""


class AdvancedMarker:
    """The class of the marker `Advanced`."""

    def __repr__(self) -> str:
        return "Advanced"


Advanced: Final = AdvancedMarker()
"""Marks an input that a canvas hides until the user asks for all inputs:
`Annotated[float, Range(0, 1), Advanced] = 1.0`."""


class Widget:
    """The control that a canvas or a form draws for an input; in the node's JSON schema under `x-widget`."""

    def describe(self) -> dict[str, Any]:
        """Describe the control as JSON: its `kind` and its options."""
        raise TypeError(f"{type(self).__name__} has no describe()")


@dataclass(frozen=True)
class Range(Widget, GroupedMetadata):
    """A number field from `min` to `max`, both inclusive; one click of its arrows changes it by `step`."""

    min: float
    max: float
    step: float | None = None

    def __post_init__(self) -> None:
        """Check that the range is not empty.

        Raises:
            ValueError: `min` is above `max`, or one of them is NaN.
        """
        if not self.min <= self.max:
            raise ValueError(f"Range({self.min}, {self.max}): the minimum is above the maximum")

    def __iter__(self) -> Iterator[BaseMetadata]:
        yield Ge(self.min)
        yield Le(self.max)

    def describe(self) -> dict[str, Any]:
        """Describe a number field with arrows."""
        return {"kind": "number", "min": self.min, "max": self.max, "step": self.step}


@dataclass(frozen=True)
class SeedField(Widget):
    """A field for a seed: a number, or "random" for a new seed in each run."""

    def describe(self) -> dict[str, Any]:
        """Describe a seed field; `random` is the value that means a new seed in each run."""
        return {"kind": "seed", "random": "random"}


@dataclass(frozen=True)
class TextField(Widget):
    """A text field of one line or of several."""

    multiline: bool = False

    def describe(self) -> dict[str, Any]:
        """Describe a text field."""
        return {"kind": "text", "multiline": self.multiline}


@dataclass(frozen=True)
class FileIn(Widget):
    """A picker for the name of a file in the folders of a kind, such as `checkpoints`."""

    kind: str
    folder: bool = False
    """True if the name is that of a folder."""

    def describe(self) -> dict[str, Any]:
        """Describe a picker for the files of the kind."""
        return {"kind": "file", "choices_from": self.kind, **({"folder": True} if self.folder else {})}


@dataclass(frozen=True)
class SecretName(Widget):
    """A field for the name of one of the user's secrets, such as an API key; see `Context.secret`."""

    def describe(self) -> dict[str, Any]:
        """Describe a text field for the name of the secret; its value is never shown or saved."""
        return {"kind": "secret"}


Seed = Annotated[int, SeedField(), Range(0, SEED_MAX)]
"""A random seed: the same seed gives the same result."""

Text = Annotated[str, TextField(multiline=True)]
"""Text of several lines, such as a prompt."""
