"""Choosing between tunes, and measuring them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from engine.context import Context
from engine.lazy import Lazy
from engine.node import Node

from .tune import Tune

T = TypeVar("T")


class Ask(Node, Generic[T], category="flow"):
    """Take the first if it is wanted, else the second, and make no other."""

    first_wanted: bool = True
    first: Lazy[T]
    second: Lazy[T]

    def asks(self) -> Iterable[str]:
        """The one that is handed on."""
        return ["first" if self.first_wanted else "second"]

    def run(self, ctx: Context) -> T:
        return (self.first if self.first_wanted else self.second).get()


class Length(Node, category="tunes", converts=True):
    """How many seconds a tune takes."""

    tune: Tune

    def run(self, ctx: Context) -> float:
        return len(self.tune.notes) * self.tune.beat


class Slur(Node, category="tunes", replaced_by="Transpose"):
    """Play a tune as it is."""

    tune: Tune

    def run(self, ctx: Context) -> Tune:
        return self.tune
