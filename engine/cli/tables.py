"""Prints tables to standard output: fitted to a terminal, at full width in a pipe or a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.cli import say

if TYPE_CHECKING:
    from rich.console import RenderableType

_UNLIMITED = 100_000


def show(*items: RenderableType) -> None:
    """Print tables and texts. In a pipe, nothing is cut or wrapped, so that `grep` finds whole rows."""
    from rich.console import Console

    if say.stdout().isatty():
        console = Console(file=say.stdout())
        for item in items:
            console.print(item)
        return
    console = Console(width=_UNLIMITED)
    with console.capture() as captured:
        for item in items:
            console.print(item)
    for row in captured.get().splitlines():
        print(row.rstrip(), file=say.stdout())
