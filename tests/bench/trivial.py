"""Graphs of nodes that do nothing worth the name, so that what they cost is the engine."""

from __future__ import annotations

from pathlib import Path

from engine import settings
from engine.context import Context
from engine.document.graph import Entry, From, Graph, Literal
from engine.node import Node
from engine.packs.registry import Registry
from engine.session import Session


class Add(Node):
    """Add two numbers."""

    a: int = 0
    b: int = 0

    def run(self, ctx: Context) -> int:
        return self.a + self.b


def chain(size: int, salt: int = 0) -> Graph:
    """Each node takes from the one before."""
    graph = Graph()
    for n in range(size):
        source = From(f"n{n - 1}", "out") if n else Literal(salt)
        graph.nodes[f"n{n}"] = Entry("Add@1", {"a": source, "b": Literal(1)})
    graph.outputs["end"] = From(f"n{size - 1}", "out")
    return graph


def fan(size: int, salt: int = 0) -> Graph:
    """Every node takes from the first."""
    graph = Graph({"root": Entry("Add@1", {"a": Literal(salt)})})
    for n in range(size - 1):
        graph.nodes[f"n{n}"] = Entry("Add@1", {"a": From("root", "out"), "b": Literal(n)})
    return graph


def session(home: Path) -> Session:
    """A session as users have it: both store tiers and the journal, no checked mode."""
    return Session(settings.load(home, device="cpu", checked=False), registry=Registry([Add]))
