"""`safelight diff`: shows how two graphs differ."""

from __future__ import annotations

import json as codec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import graph_file, say
from engine.cli.request import AsJson, Home

if TYPE_CHECKING:
    from engine.explain.diff import Change

DIFFERENT = 1

Older = Annotated[
    Path, typer.Argument(metavar="A", help="A graph: its name, its JSON file, or a picture that carries it.")
]
Newer = Annotated[Path, typer.Argument(metavar="B", help="The graph to compare it with.")]
Everything = Annotated[
    bool, typer.Option("--all", metavar="", help="Compare titles, docs and the layout, too.")
]


def diff(
    older: Older, newer: Newer, everything: Everything = False, home: Home = None, json: AsJson = False
) -> int:
    """Show how graph B differs from graph A. Exit code 0: they are equal, 1: they differ, 2: a bad graph."""
    from engine.explain.diff import diff as compare
    from engine.sources import source

    before, after = (source.load(graph_file.found(graph, home)) for graph in (older, newer))
    changes = compare(before, after, everything=everything)
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
