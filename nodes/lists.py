"""Seeds, Numbers, Lines and Label: lists for other nodes to go through, and what to write beside them."""

from __future__ import annotations

from typing import Annotated

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import SEED_MAX, Range, Seed, Text

MOST = 10_000
"""How long a list may be."""


class Seeds(Node, category="lists"):
    """List seeds that follow one another, so that one graph makes several pictures."""

    first: Seed = 0
    count: Annotated[int, Range(1, MOST)] = 4
    """Adding one more makes one more picture; those that are there stay."""

    def run(self, ctx: Context) -> list[int]:
        """The seeds; after the greatest seed there is, they go on from 0."""
        return [(self.first + n) % (SEED_MAX + 1) for n in range(self.count)]


class Numbers(Node, category="lists"):
    """List numbers at even distances, both ends among them."""

    start: float = 0.0
    stop: float = 1.0
    count: Annotated[int, Range(1, MOST)] = 5

    def run(self, ctx: Context) -> list[float]:
        """From `start` to `stop`; a single one is `start`."""
        if self.count == 1:
            return [self.start]
        return [
            self.start + (self.stop - self.start) * n / (self.count - 1) for n in range(self.count - 1)
        ] + [self.stop]


class Lines(Node, category="lists"):
    """List the lines of a text, such as one prompt a line."""

    text: Text

    def run(self, ctx: Context) -> list[str]:
        """The lines without the space around them; empty ones are left out.

        Raises:
            NodeError: there are more than `MOST`.
        """
        lines = [line for line in map(str.strip, self.text.splitlines()) if line]
        if len(lines) > MOST:
            raise NodeError(f"has {len(lines):,} lines; at most {MOST:,} are taken", input="text")
        return lines


class Label(Node, category="lists"):
    """Write a number into a line of text, for the rows and columns of a grid."""

    text: str = "{}"
    """What is written; `{}` stands for the number."""
    value: float = 0.0

    def run(self, ctx: Context) -> str:
        """The text with the number in it, which is 7 for 7.0."""
        whole = self.value.is_integer() and abs(self.value) < 2**63
        return self.text.replace("{}", str(int(self.value)) if whole else f"{self.value:g}")
