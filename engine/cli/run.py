"""`safelight run`: runs a graph, shows its progress, and writes its outputs to files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from engine.cli import answer, remote, request, say
from engine.cli.following import EventsFile, TraceFile, events_to, following, together
from engine.cli.previews import PreviewFolder, Previews
from engine.cli.remote import ServerUrl, TokenFile
from engine.cli.request import AsJson, Device, GraphPath, Help, Home, Off, Sets, Sweeps, Targets
from engine.cli.stopping import EXIT_CODE, stopping
from engine.errors import GraphError, Problem
from engine.near_names import near
from engine.paths import expanded
from engine.settings import PictureFormat

EXIT_CODES = {"done": 0, "failed": 1, "cancelled": EXIT_CODE}


def run(
    ctx: typer.Context,
    graph: GraphPath = None,
    sets: Sets = None,
    sweeps: Sweeps = None,
    off: Off = None,
    to: Targets = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder for the outputs; default: outputs in the home."),
    ] = None,
    home: Home = None,
    device: Device = None,
    json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", metavar="", help="Print only the outputs.")] = False,
    every: Annotated[
        bool, typer.Option("--all", metavar="", help="Show a row for every element of a list.")
    ] = False,
    trace: TraceFile = None,
    events: EventsFile = None,
    previews: PreviewFolder = None,
    no_metadata: Annotated[
        bool,
        typer.Option("--no-metadata", metavar="", help="Write pictures without the graph that made them."),
    ] = False,
    format: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The format of pictures: png, jpeg, webp or webp-lossless."),
    ] = None,
    server: ServerUrl = None,
    token_file: TokenFile = None,
    help: Help = False,
) -> int:
    """Run a graph and write its outputs to files.

    The inputs of the graph are options of this command: safelight run GRAPH --help lists them.
    """
    arguments = request.arguments(ctx, graph, sets, sweeps, off, home, help)
    if arguments is None:
        return 0
    folder = None if out is None else expanded(out).absolute()
    given: dict[str, Any] = {"metadata": False} if no_metadata else {}
    if format is not None:
        given["picture_format"] = _picture_format(format)
    with request.session(home, device, quiet=quiet, **given) as session:
        from engine.cancel import Cancel
        from engine.cli.progress import view

        cancel = Cancel()
        pictures = None if previews is None else Previews(expanded(previews).absolute())
        with (
            events_to(events, say.stdout()) as listener,
            stopping(cancel.ask, session.settings.stop_timeout),
            following(session, trace) as watch,
        ):
            with watch.span("read"):
                requested = arguments.request(session, to or (), folder)
            if server is not None:
                with (
                    remote.client(server, token_file, session.settings.home) as client,
                    view(quiet) as shown,
                ):
                    fetched = remote.run(client, requested, session, together(listener, shown), cancel)
                if json:
                    say.as_json(fetched)
                else:
                    remote.show(fetched, quiet)
                return EXIT_CODES.get(fetched["state"], 1)
            with view(quiet) as shown:
                report = session.run(
                    requested,
                    emit=together(watch, listener, pictures, shown),
                    warn=say.warn,
                    cancel=cancel,
                    watch=watch,
                    previews=listener is not None or pictures is not None,
                )
        if json:
            say.as_json(report.as_json())
        else:
            answer.show(report, quiet, every)
    return EXIT_CODES[report.state]


def _picture_format(name: str) -> str:
    """Return the name of a picture format if it exists.

    Raises:
        GraphError: there is no such format.
    """
    known = get_args(PictureFormat)
    if name not in known:
        hint = near(name, known) or f"the formats are {', '.join(known)}"
        raise GraphError([Problem("bad_use", f"--format: there is no format {name!r}", hint=hint)])
    return name
