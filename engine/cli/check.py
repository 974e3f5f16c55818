"""`safelight check`: checks a graph and lists every problem."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from engine.cli import graph_file, request, say
from engine.cli.request import AsJson, GraphPath, Help, Home, Off, Sets, Sweeps
from engine.errors import GraphError, Problem

if TYPE_CHECKING:
    from engine.files import Files
    from engine.session import Session


def check(
    ctx: typer.Context,
    graph: GraphPath = None,
    sets: Sets = None,
    sweeps: Sweeps = None,
    off: Off = None,
    home: Home = None,
    json: AsJson = False,
    help: Help = False,
) -> int:
    """Check a graph and list every problem, missing files included; nothing is run."""
    arguments = request.arguments(ctx, graph, sets, sweeps, off, home, help)
    if arguments is None:
        return 0
    with request.session(home) as session:
        problems: list[Problem] = list(session.registry.problems)
        from engine.plan.fingerprints import unreadable_files

        try:
            document, values = arguments.read(session)
            checked = session.check(document, values)
            problems += checked.problems
            files = _files(session, arguments.path)
            problems += unreadable_files(checked, files)
            problems += session.advice(checked, files)
        except GraphError as error:
            problems += error.problems
    ok = all(problem.severity != "error" for problem in problems)
    if json:
        say.as_json({"ok": ok, "problems": [problem.as_json() for problem in problems]})
    else:
        say.problems(problems)
        if ok:
            plural = "s" * (len(problems) != 1)
            warnings = f", {len(problems):,} warning{plural}" if problems else ""
            path = say.path(graph_file.shown(arguments.path))
            say.out(f"{path}: {len(document.nodes):,} nodes, no errors{warnings}")
    return 0 if ok else 2


def _files(session: Session, graph: Path) -> Files:
    """Return the files of the session. If the home folder has no store, digests are not saved in it."""
    from engine.digests import FileDigests
    from engine.files import Files

    settings = session.settings
    digests = session.digests if settings.store_folder.is_dir() else FileDigests()
    files = Files(settings.folders_of, digests, settings.home / "outputs", local=True)
    files.beside = graph.absolute().parent
    return files
