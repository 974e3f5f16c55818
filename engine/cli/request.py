"""The arguments that run, check and plan share: a home folder, a graph, and values for its inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli import graph_file, say
from engine.errors import GraphError, Problem

if TYPE_CHECKING:
    from engine.document.graph import Graph
    from engine.document.run_request import RunRequest
    from engine.session import Session

TAKES_GRAPH = {
    "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True},
    "add_help_option": False,
    "options_metavar": "[--NAME VALUE ...] [OPTIONS]",
}
"""The settings of a command whose further options come from the graph."""

GraphPath = Annotated[
    Path | None,
    typer.Argument(
        metavar="GRAPH",
        help="A graph: its name, its JSON file, a picture that carries it, a file of A1111, ComfyUI or "
        "others, or - for standard input.",
    ),
]
Help = Annotated[
    bool, typer.Option("--help", metavar="", help="Show this message, with the options of the graph.")
]
Home = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="The home folder, with models, nodes and outputs; default: SAFELIGHT_HOME."
    ),
]
Device = Annotated[
    str | None,
    typer.Option(metavar="DEVICE", help="The device to compute on: auto, cpu, cuda, cuda:1 or mps."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NODE.INPUT=VALUE", help="Set one input of one node."),
]
Sweeps = Annotated[
    list[str] | None,
    typer.Option(
        "--sweep",
        metavar="NAME=VALUES",
        help="Run the graph for many values of an input: seed=1,2,3, steps=10:50:10 (from 10 to 50 in steps "
        "of 10), prompt=@prompts.txt (one per line), denoise.sampler=euler,ddim (an input of a node). Put "
        "double quotes around text that contains commas.",
    ),
]
Targets = Annotated[
    list[str] | None,
    typer.Option("--to", metavar="NODE", help="Run only up to this node; may be repeated."),
]
Off = Annotated[
    list[str] | None,
    typer.Option("--off", metavar="NODE", help="Switch this node off for this command; may be repeated."),
]
AsJson = Annotated[bool, typer.Option("--json", metavar="", help="Print the answer as one JSON object.")]


@contextmanager
def session(
    home: Path | None, device: str | None = None, *, quiet: bool = False, **given: Any
) -> Iterator[Session]:
    """Open a session whose warnings are printed to stderr, with the progress of reading large files.

    When a graph or a command names an unknown node type, the packs that could not be loaded are reported too.

    Args:
        home: the home folder; None for the default.
        device: the device to compute on; None for the one in the settings.
        quiet: True to show no progress.
        given: more settings.
    """
    from engine.cli.reading import Reading
    from engine.digests import report_progress
    from engine.run.captured_stdout import reserved_stdout
    from engine.session import Session

    progress = (lambda path, done, size: None) if quiet else Reading()
    with (
        reserved_stdout() as stdout,  # node packs may print on import, and nodes while they run
        say.answer_to(stdout),
        Session.open(home, device, warn=say.warn, **given) as session,
        report_progress(progress),
    ):
        try:
            yield session
        except GraphError as error:
            if all(problem.code != "unknown_type" for problem in error.problems):
                raise
            broken = [problem for problem in session.registry.problems if problem not in error.problems]
            raise GraphError([*error.problems, *broken]) from None


@dataclass(frozen=True, slots=True)
class GraphArguments:
    """A graph with the changes and values from the command line."""

    path: Path
    """The file of the graph, or `-`."""
    words: Sequence[str]
    """The options of the graph's inputs."""
    sets: Sequence[str]
    sweeps: Sequence[str]
    off: Sequence[str]

    @property
    def name(self) -> str:
        """The name of the graph in the history; empty if it comes from standard input."""
        return "" if self.path == graph_file.STDIN else str(self.path.absolute())

    @property
    def title(self) -> str:
        """The beginning of output file names if the graph has no title."""
        return "" if self.path == graph_file.STDIN else self.path.stem

    def read(self, session: Session) -> tuple[Graph, dict[str, Any]]:
        """Read the graph with the changes of `--set` and `--off`, and the values for its inputs.

        A value is JSON, or a `Sweep` of several JSON values.

        Raises:
            GraphError: the settings, the graph or the options are invalid. It has all problems of the first
                of these that is invalid.
        """
        from engine.cli import options
        from engine.cli import sweeps as swept

        if session.settings.folders:
            from engine.check.portable import kinds
            from engine.settings import folder_problems

            folders = folder_problems(session.settings, kinds(session.registry))
            if any(problem.severity == "error" for problem in folders):
                raise GraphError(
                    [*folders, *session.registry.problems]
                )  # the node type for this kind may be in a broken pack
            say.problems(folders)
        document = session.load(graph_file.shown(self.path), graph_file.content(self.path))
        values = options.parse(document, self.words)
        document = options.with_off(options.with_sets(document, self.sets, session.registry), self.off)
        document, sweeps = swept.expose_swept(document, self.sweeps, self.sets, session.registry)
        many = swept.parse(document, sweeps, values)
        for warning in swept.split_at_commas(document, sweeps):
            say.warn(warning)
        return document, {**values, **many}

    def request(self, session: Session, targets: Sequence[str], out: Path | None) -> RunRequest:
        """Make the request to run the graph, as `read` returns it."""
        from engine.document.run_request import RunRequest

        document, values = self.read(session)
        return RunRequest(document, values, tuple(targets), self.name, document.title or self.title, out)


def arguments(
    ctx: typer.Context,
    graph: Path | None,
    sets: Sequence[str] | None,
    sweeps: Sequence[str] | None,
    off: Sequence[str] | None,
    home: Path | None,
    help: bool,
) -> GraphArguments | None:
    """Collect the arguments of a command; None if the command's help was shown instead.

    Raises:
        GraphError: no graph is given, or no graph has this name.
    """
    if help:
        _show_help(ctx, graph, home)
        return None
    return GraphArguments(_found(graph, home), ctx.args, sets or (), sweeps or (), off or ())


def _found(graph: Path | None, home: Path | None) -> Path:
    if graph is None:
        hint = "give the name or the file of a graph; safelight graphs lists the names"
        raise GraphError([Problem("bad_use", "no graph is given", hint=hint)])
    if str(graph).startswith("--"):
        hint = "write the graph first, then its options"
        raise GraphError(
            [Problem("bad_use", f"{graph} is an option, but the graph must come first", hint=hint)]
        )
    return graph_file.found(graph, home)


def _show_help(ctx: typer.Context, graph: Path | None, home: Path | None) -> None:
    """Show the help of a command; if a graph is given, with the graph's options."""
    if text := ctx.get_help():
        say.out(text)
    if graph is not None:
        from engine.packs.registry import Registry
        from engine.run.captured_stdout import reserved_stdout
        from engine.sources import source

        path = _found(graph, home)
        content = graph_file.content(path)
        with reserved_stdout():
            read = source.read(graph_file.shown(path), lambda: Registry.find().importers, data=content)
        _show_options(read.graph)


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
    console = Console(file=say.stdout())
    title = Text(say.line(f"Options of {graph.title or 'this graph'}"))
    if graph.doc:
        console.print(Text(say.plain(graph.doc)))
    if graph.inputs:
        console.print(Panel(rows, title=title, title_align="left", border_style="dim"))
    else:
        console.print(Text("The graph has no inputs, so it adds no options."))
