"""If and Switch: take one of several inputs; what leads to the others only is never computed."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from engine.context import Context
from engine.errors import NodeError
from engine.lazy import Lazy
from engine.node import Node
from engine.widgets import Range

T = TypeVar("T")


class If(Node, Generic[T], category="choose"):
    """Take one input or the other."""

    condition: bool
    then: Lazy[T]
    otherwise: Lazy[T]

    def asks(self) -> list[str]:
        """The one that the condition speaks of."""
        return ["then" if self.condition else "otherwise"]

    def run(self, ctx: Context) -> T:
        """What was asked for."""
        return (self.then if self.condition else self.otherwise).get()


class Switch(Node, Generic[T], category="choose"):
    """Take one of up to six inputs, by number."""

    select: Annotated[int, Range(1, 6)] = 1
    a: Lazy[T]
    b: Lazy[T | None] = None  # type: ignore[assignment]  # a plain default is wrapped
    c: Lazy[T | None] = None  # type: ignore[assignment]
    d: Lazy[T | None] = None  # type: ignore[assignment]
    e: Lazy[T | None] = None  # type: ignore[assignment]
    f: Lazy[T | None] = None  # type: ignore[assignment]

    def asks(self) -> list[str]:
        """The one with that number."""
        return ["abcdef"[self.select - 1]]

    def run(self, ctx: Context) -> T:
        """What was asked for.

        Raises:
            NodeError: nothing is wired there.
        """
        (name,) = self.asks()
        chosen: T | None = getattr(self, name).get()
        if chosen is None:
            hint = "wire something into it, or select another one"
            raise NodeError(f"selects {name}, into which nothing is wired", hint=hint, input=name)
        return chosen
