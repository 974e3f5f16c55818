"""`safelight diff`: what makes one graph another."""

from __future__ import annotations

import json as codec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import say
from engine.cli.request import AsJson

if TYPE_CHECKING:
    from engine.diff import Change

DIFFERENT = 1

Older = Annotated[Path, typer.Argument(metavar="A", help="A graph: its JSON file, or a picture that has it.")]
Newer = Annotated[Path, typer.Argument(metavar="B", help="Another one.")]
Everything = Annotated[bool, typer.Option("--all", help="Compare titles, docs and the layout, too.")]


def diff(older: Older, newer: Newer, everything: Everything = False, json: AsJson = False) -> int:
    """Say how graph B differs from graph A. Exit code 0: they are equal, 1: they differ, 2: bad graph."""
    from engine import source
    from engine.diff import diff as compare

    changes = compare(source.load(older), source.load(newer), everything=everything)
    if json:
        say.as_json({"equal": not changes, "changes": [change.as_json() for change in changes]})
    elif changes:
        for change in changes:
            _show(change)
    else:
        say.out("no difference")
    return DIFFERENT if changes else 0


def _show(change: Change) -> None:
    say.out(say.line(change))
    if change.says.endswith(" changed"):  # the values are too long for the sentence
        for lead, value in (("was", change.was), ("now", change.now)):
            say.out(say.line(f"    {lead}: {codec.dumps(value, ensure_ascii=False)}"))
