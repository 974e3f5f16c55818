"""Node types that take and make lists, choose lazily, hand on and return graphs, for the engine's tests."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from engine.context import Context
from engine.document.graph import Entry, From, Graph, Literal, Param
from engine.errors import NodeError
from engine.lazy import Lazy
from engine.node import Node
from engine.packs.registry import Registry
from tests.engine.small_nodes import Act, Broken, Lane, MakeThing, Mix, Split, TakeThing, called

T = TypeVar("T")


class Upto(Node):
    """List the numbers below one."""

    n: int

    def run(self, ctx: Context) -> list[int]:
        called(ctx)
        return list(range(abs(self.n) % 4))


class Table(Node):
    """List rows of numbers, each longer than the one before."""

    n: int

    def run(self, ctx: Context) -> list[list[int]]:
        called(ctx)
        return [list(range(self.n, self.n + row)) for row in range(abs(self.n) % 4)]


class Sum(Node):
    """Add up a list."""

    xs: list[int]

    def run(self, ctx: Context) -> int:
        called(ctx)
        return sum(self.xs)


class Even(Node):
    """Say whether a number is even."""

    x: int

    def run(self, ctx: Context) -> bool:
        called(ctx)
        return self.x % 2 == 0


class Switch(Node, Generic[T]):
    """Take one of two."""

    which: bool
    a: Lazy[T]
    b: Lazy[T]

    def asks(self) -> list[str]:
        return ["a" if self.which else "b"]

    def run(self, ctx: Context) -> T:
        called(ctx)
        return (self.a if self.which else self.b).get()


class Double(Node, passes={"out": "x"}):
    """Double a number."""

    x: int

    def run(self, ctx: Context) -> int:
        called(ctx)
        return 2 * self.x


class Fragile(Node):
    """Hand a number on, unless three divides it."""

    x: int

    def run(self, ctx: Context) -> int:
        called(ctx)
        if self.x % 3 == 0:
            raise NodeError("three divides it")
        return self.x


class Again(Node, returns_graph=True):
    """Double a number some times over, by returning a graph that doubles it once and goes on."""

    x: int
    times: int

    def run(self, ctx: Context) -> int:
        called(ctx)
        if self.times <= 0:
            return self.x
        graph = Graph()
        graph.nodes["once"] = Entry("Double", {"x": Param("x")})
        graph.nodes["more"] = Entry("Again", {"x": From("once", "out"), "times": Literal(self.times - 1)})
        graph.outputs["out"] = From("more", "out")
        return ctx.expand(graph)  # type: ignore[no-any-return]


class Each(Node, returns_graph=True):
    """Double each number of a list, by returning a graph that does."""

    xs: list[int]

    def run(self, ctx: Context) -> list[int]:
        called(ctx)
        graph = Graph()
        graph.nodes["each"] = Entry("Double", {"x": Param("xs")})
        graph.outputs["out"] = From("each", "out")
        return ctx.expand(graph)  # type: ignore[no-any-return]


_OWN: list[Any] = [Upto, Table, Sum, Each, Even, Switch, Double, Fragile, Again]
WIDE = Registry([Mix, Split, Broken, Act, Lane, MakeThing, TakeThing, *_OWN])
