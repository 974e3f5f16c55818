"""`safelight serve`: serves the home folder to the canvas and to other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import say
from engine.cli.request import Home
from engine.paths import expanded

if TYPE_CHECKING:
    from engine.server.services import Services

PORT = 8400


def serve(
    graph: Annotated[
        Path | None,
        typer.Argument(metavar="GRAPH", help="A graph file to open; changes are saved to this file."),
    ] = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="The address to listen on; default: this machine only.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="The port; 0 for a free one.")
    ] = PORT,
    home: Home = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DEVICE",
            help="The device to compute on: auto, cpu, cuda, cuda:1 or mps; may be repeated.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Use the token in this file; default: a new one for each start."),
    ] = None,
    allow_remote: Annotated[
        bool,
        typer.Option("--allow-remote", metavar="", help="Let other machines connect; needs --token-file."),
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Another name of this server, such as that of a proxy."),
    ] = None,
    compat: Annotated[
        list[str] | None,
        typer.Option(
            metavar="API",
            help="Also answer programs that speak the API of comfyui or a1111; may be repeated.",
        ),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", metavar="", help="Do not open the page in a browser.")
    ] = False,
) -> int:
    """Serve the canvas and the API; Ctrl-C stops it. Runs in the queue survive a stop and a crash."""
    from engine.server.serving import Options, serve

    def announce(url: str, services: Services) -> None:
        say.out(f"Safelight runs at {url} with the home {say.path(services.settings.home)}")
        sys.stdout.flush()
        if not no_browser and sys.stdout.isatty():
            import webbrowser

            webbrowser.open(url)

    serve(
        Options(
            home=home,
            graph=None if graph is None else expanded(graph),
            host=host,
            port=port,
            token_file=None if token_file is None else expanded(token_file),
            allow_remote=allow_remote,
            allow_hosts=allow_host or (),
            devices=device or ("auto",),
            compat=compat or (),
        ),
        announce,
    )
    return 0
