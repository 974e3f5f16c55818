"""What run, check and plan begin with: a session, a graph, and values from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli import say
from engine.errors import GraphError, Problem

if TYPE_CHECKING:
    from engine.graph import Graph
    from engine.session import Session

TAKES_GRAPH = {
    "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True},
    "add_help_option": False,
    "options_metavar": "[--NAME VALUE ...] [OPTIONS]",
}
"""How a command is registered whose further options come from the graph."""

GraphPath = Annotated[
    Path | None,
    typer.Argument(
        metavar="GRAPH",
        help="A graph: its JSON file, a picture that carries it, or a file of A1111, ComfyUI …",
    ),
]
Help = Annotated[bool, typer.Option("--help", help="Show this, with the graph's own options, and leave.")]
Home = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Holds models, nodes, outputs and store; else SAFELIGHT_HOME."),
]
Device = Annotated[
    str | None, typer.Option(metavar="DEVICE", help="What to compute on: auto, cpu, cuda, cuda:1 or mps.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NODE.INPUT=VALUE", help="Give one input of one node another value."),
]
Sweeps = Annotated[
    list[str] | None,
    typer.Option(
        "--sweep",
        metavar="NAME=VALUES",
        help="Give an input of the graph many values: seed=1,2,3, steps=10:50:10 (from 10 to 50 in tens), "
        "prompt=@prompts.txt (one a line). Text that has commas wants double quotes.",
    ),
]
Targets = Annotated[
    list[str] | None,
    typer.Option("--to", metavar="NODE", help="Go only as far as this node; may be repeated."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")]


def session(home: Path | None, device: str | None = None) -> Session:
    """A session over a home folder; its warnings go to stderr."""
    from engine import settings
    from engine.session import Session

    fixed = {} if device is None else {"device": device}
    return Session(settings.load(home, **fixed), warn=say.warn)


@dataclass(frozen=True, slots=True)
class Asked:
    """A graph and the values for its inputs, as a command line names them."""

    path: Path
    words: Sequence[str]
    """The options that are the graph's own."""
    sets: Sequence[str]
    sweeps: Sequence[str]

    @property
    def name(self) -> str:
        """What the graph is remembered by."""
        return str(self.path.absolute())

    def read(self, session: Session) -> tuple[Graph, dict[str, Any]]:
        """The graph with what `--set` changes, and the values for its inputs; files are not looked for.

        A value is JSON, or a `Sweep` of several.

        Raises:
            GraphError: the settings, the graph or an option are no good; with every problem of the first of
                them that is not.
        """
        from engine.cli import options
        from engine.cli import sweeps as swept

        if session.settings.folders:
            from engine.findable import kinds
            from engine.settings import unknown_folders

            if unknown := unknown_folders(session.settings, kinds(session.registry)):
                raise GraphError([*unknown, *session.registry.problems])  # a pack may bring the kind
        document = session.load(self.path)
        values = options.parse(document, self.words)
        many = swept.parse(document, self.sweeps, values)
        return options.with_sets(document, self.sets, session.registry), {**values, **many}

    def found(self, session: Session) -> tuple[Graph, dict[str, Any]]:
        """The same, with every file named so that it is found from anywhere; see `findable.findable`."""
        from engine.findable import findable

        session.files.beside = self.path.absolute().parent
        document, values = self.read(session)
        return findable(document, values, session.registry, session.files)


def asked(
    ctx: typer.Context,
    graph: Path | None,
    sets: Sequence[str] | None,
    sweeps: Sequence[str] | None,
    help: bool,
) -> Asked | None:
    """What a command is asked to do; None if that was to show its help, which is done.

    Raises:
        GraphError: no graph is named, or an option of the graph stands in its place.
    """
    if help:
        _show_help(ctx, graph)
        return None
    return Asked(_given(graph), ctx.args, sets or (), sweeps or ())


def _given(graph: Path | None) -> Path:
    if graph is None:
        raise GraphError([Problem("bad_use", "no graph is named", hint="name its .json file, or a picture")])
    if str(graph).startswith("--"):
        hint = "name the graph first, then its options"
        raise GraphError([Problem("bad_use", f"{graph} stands where the graph belongs", hint=hint)])
    return graph


def _show_help(ctx: typer.Context, graph: Path | None) -> None:
    """A command's help, and the graph's own options where a graph is named."""
    if text := ctx.get_help():
        say.out(text)
    if graph is not None:
        from engine import source

        _show_options(source.read(_given(graph)).graph)


def _show_options(graph: Graph) -> None:
    import json

    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    from engine.cli import options

    rows = Table.grid(padding=(0, 2))
    for name, item in graph.inputs.items():
        doc = Text(say.plain(item.doc))
        text = item.default if isinstance(item.default, str) else json.dumps(item.default, ensure_ascii=False)
        doc.append(" [required]" if item.required else say.line(f" [default: {text}]"), style="dim")
        rows.add_row(
            Text(options.flag(name), style="bold cyan"),
            Text(say.line(options.described(item)), style="bold yellow"),
            doc,
        )
    console = Console()
    title = Text(say.line(f"Options of {graph.title or 'this graph'}"))
    if graph.doc:
        console.print(Text(say.plain(graph.doc)))
    if graph.inputs:
        console.print(Panel(rows, title=title, title_align="left", border_style="dim"))
    else:
        console.print(Text("The graph has no options of its own."))
