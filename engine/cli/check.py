"""`safelight check`: everything that is wrong with a graph, at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from engine.cli import request, say
from engine.cli.request import AsJson, GraphPath, Help, Home, Sets, Sweeps
from engine.errors import GraphError, Problem

if TYPE_CHECKING:
    from engine.files import Files
    from engine.session import Session


def check(
    ctx: typer.Context,
    graph: GraphPath = None,
    sets: Sets = None,
    sweeps: Sweeps = None,
    home: Home = None,
    json: AsJson = False,
    help: Help = False,
) -> int:
    """Say everything that is wrong with a graph, missing files included; nothing is run."""
    asked = request.asked(ctx, graph, sets, sweeps, help)
    if asked is None:
        return 0
    with request.session(home) as session:
        problems: list[Problem] = list(session.registry.problems)
        from engine.check import unreadable

        try:
            document, values = asked.read(session)
            checked = session.check(document, values)
            # A graph that asks for a value is sound: whoever runs it gives one.
            problems += [
                replace(problem, severity="warning") if problem.code == "missing_value" else problem
                for problem in checked.problems
            ]
            problems += unreadable(checked, _files(session, asked.path))
        except GraphError as error:
            problems += error.problems
    ok = all(problem.severity != "error" for problem in problems)
    if json:
        say.as_json({"ok": ok, "problems": [problem.as_json() for problem in problems]})
    else:
        say.problems(problems)
        if ok:
            say.out(f"{asked.path}: {len(document.nodes):,} nodes, nothing wrong")
    return 0 if ok else 2


def _files(session: Session, graph: Path) -> Files:
    """What the nodes of a graph are shown; a home that was never used is left without a store."""
    from engine.digests import FileDigests
    from engine.files import Files

    settings = session.settings
    digests = session.digests if settings.store_folder.is_dir() else FileDigests()
    files = Files(settings.folders_of, digests, settings.home / "outputs", local=True)
    files.beside = graph.absolute().parent
    return files
