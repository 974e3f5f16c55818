"""Widgets: annotations of input types that define the control and the accepted values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final

from annotated_types import BaseMetadata, Ge, GroupedMetadata, Le

SEED_MAX = 2**53 - 1
"""The largest integer that a browser reads exactly from JSON."""


class AdvancedMarker:
    """Type of the marker `Advanced`."""

    def __repr__(self) -> str:
        return "Advanced"


Advanced: Final = AdvancedMarker()
"""Marks an input that a canvas hides until the user asks for more: `Annotated[float, Range(0, 1), Advanced] =
1.0`."""


class Widget:
    """A control that a canvas or a form draws for an input; it is in the node's schema under `x-widget`."""

    def describe(self) -> dict[str, Any]:
        """The control as JSON: its `kind` and its options."""
        raise TypeError(f"{type(self).__name__} has no describe()")


@dataclass(frozen=True)
class Range(Widget, GroupedMetadata):
    """A number from `min` to `max`, both inclusive; `step` is the change for one click of an arrow."""

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
    """A seed: a number, or "random" for a new one in each run."""

    def describe(self) -> dict[str, Any]:
        """A seed field; `random` is the value for a new seed in each run."""
        return {"kind": "seed", "random": "random"}


@dataclass(frozen=True)
class TextField(Widget):
    """Text of one line or of many."""

    multiline: bool = False

    def describe(self) -> dict[str, Any]:
        """The kind and the options of a text field."""
        return {"kind": "text", "multiline": self.multiline}


@dataclass(frozen=True)
class FileIn(Widget):
    """The name of a file in one of the folders of a kind, such as `checkpoints`."""

    kind: str
    folder: bool = False
    """True if it names a folder of files."""

    def describe(self) -> dict[str, Any]:
        """A picker over the files of that kind."""
        return {"kind": "file", "choices_from": self.kind, **({"folder": True} if self.folder else {})}


@dataclass(frozen=True)
class SecretName(Widget):
    """The name of a secret of the user, such as the key of a service; see `Context.secret`."""

    def describe(self) -> dict[str, Any]:
        """A text field for the name; the value is never shown or saved."""
        return {"kind": "secret"}


Seed = Annotated[int, SeedField(), Range(0, SEED_MAX)]
"""A random seed: the same seed gives the same result."""

Text = Annotated[str, TextField(multiline=True)]
"""Text of many lines, such as a prompt."""
