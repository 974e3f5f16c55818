"""Seeds, Numbers, Lines and Label: lists that other nodes process element by element, and grid labels."""

from __future__ import annotations

from typing import Annotated

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import SEED_MAX, Range, Seed, Text

MOST = 10_000
"""The greatest length of a list."""


class Seeds(Node, category="lists"):
    """List consecutive seeds, to generate several pictures with one graph."""

    first: Seed = 0
    """The first seed; each further seed is greater by 1. After the largest seed, the list continues from
    0."""
    count: Annotated[int, Range(1, MOST)] = 4
    """The number of seeds, 1 to 10000. Increasing it adds pictures; existing pictures are reused."""

    def run(self, ctx: Context) -> list[int]:
        return [(self.first + n) % (SEED_MAX + 1) for n in range(self.count)]


class Numbers(Node, category="lists"):
    """List evenly spaced numbers, with both ends included."""

    start: float = 0.0
    """The first number."""
    stop: float = 1.0
    """The last number."""
    count: Annotated[int, Range(1, MOST)] = 5
    """How many numbers, 1 to 10000. With 1, the list is `start` only."""

    def run(self, ctx: Context) -> list[float]:
        if self.count == 1:
            return [self.start]
        return [
            self.start + (self.stop - self.start) * n / (self.count - 1) for n in range(self.count - 1)
        ] + [self.stop]


class Lines(Node, category="lists"):
    """Split a text into a list of its lines, such as one prompt per line."""

    text: Text
    """The text. Space around a line is removed and empty lines are skipped; at most 10000 lines."""

    def run(self, ctx: Context) -> list[str]:
        """Split the text.

        Raises:
            NodeError: the text has more than `MOST` lines.
        """
        lines = [line for line in map(str.strip, self.text.splitlines()) if line]
        if len(lines) > MOST:
            raise NodeError(f"the text has {len(lines):,} lines; the limit is {MOST:,}", input="text")
        return lines


class Label(Node, category="lists"):
    """Insert a number into a text, for the row and column labels of a grid."""

    text: str = "{}"
    """The label; `{}` is replaced by the number, as in `steps {}`."""
    value: float = 0.0
    """The number. Whole numbers are written without a decimal point."""

    def run(self, ctx: Context) -> str:
        whole = self.value.is_integer() and abs(self.value) < 2**63
        return self.text.replace("{}", str(int(self.value)) if whole else f"{self.value:g}")
