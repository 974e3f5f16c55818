"""If and Switch: pass on one of several inputs. Nodes that only the other inputs need are not computed."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from engine.context import Context
from engine.errors import NodeError
from engine.lazy import Lazy
from engine.node import Node
from engine.widgets import Range

T = TypeVar("T")


class If(Node, Generic[T], category="choose"):
    """Pass on `then` if the condition is true, else `otherwise`. The other input is not computed."""

    condition: bool
    """Which input is passed on: true for `then`, false for `otherwise`."""
    then: Lazy[T]
    otherwise: Lazy[T]

    def asks(self) -> list[str]:
        """Return the name of the chosen input; the engine computes only this input."""
        return ["then" if self.condition else "otherwise"]

    def run(self, ctx: Context) -> T:
        return (self.then if self.condition else self.otherwise).get()


class Switch(Node, Generic[T], category="choose"):
    """Pass on one of up to six inputs, chosen by its number. The others are not computed."""

    select: Annotated[int, Range(1, 6)] = 1
    """The number of the input that is passed on: 1 for `a`, 2 for `b`, up to 6 for `f`."""
    a: Lazy[T]
    """Passed on if `select` is 1."""
    b: Lazy[T | None] = None  # type: ignore[assignment]  # a plain default is wrapped
    """Passed on if `select` is 2."""
    c: Lazy[T | None] = None  # type: ignore[assignment]
    """Passed on if `select` is 3."""
    d: Lazy[T | None] = None  # type: ignore[assignment]
    """Passed on if `select` is 4."""
    e: Lazy[T | None] = None  # type: ignore[assignment]
    """Passed on if `select` is 5."""
    f: Lazy[T | None] = None  # type: ignore[assignment]
    """Passed on if `select` is 6."""

    def asks(self) -> list[str]:
        """Return the name of the chosen input; the engine computes only this input."""
        return ["abcdef"[self.select - 1]]

    def run(self, ctx: Context) -> T:
        """Pass on the chosen input.

        Raises:
            NodeError: the chosen input is not connected.
        """
        (name,) = self.asks()
        chosen: T | None = getattr(self, name).get()
        if chosen is None:
            message = f"`select` is {self.select}, but nothing is connected to {name}"
            raise NodeError(message, hint="connect it, or select another input", input=name)
        return chosen
