"""`safelight graphs`: the graphs that can be run by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.cli import request, say
from engine.cli.request import AsJson, Home

if TYPE_CHECKING:
    from engine.packs.named_graphs import NamedGraph


def graphs(home: Home = None, json: AsJson = False) -> int:
    """List your own graphs and the examples: safelight run NAME runs one."""
    from engine.packs import named_graphs

    with request.session(home) as session:
        folder = session.settings.home / "graphs"
    rows = [_described(graph) for graph in named_graphs.listed(folder)]
    if json:
        say.as_json({"graphs": rows})
        return 0
    for example, heading in ((False, f"Your own, in {say.path(folder)}"), (True, "Examples")):
        if shown := [row for row in rows if row["example"] is example]:
            _list(heading, shown)
    return 0


def _described(graph: NamedGraph) -> dict[str, object]:
    """Describe a graph file as JSON: its title and description, or the problem if it contains no graph."""
    from engine.errors import GraphError
    from engine.sources import source

    row: dict[str, object] = {"name": graph.name, "file": str(graph.path), "example": graph.example}
    try:
        document = source.load(graph.path)
    except GraphError as error:
        return {**row, "title": "", "doc": "", "problem": error.problems[0].as_json()}
    return {**row, "title": document.title, "doc": document.doc, "problem": None}


def _list(heading: str, rows: list[dict[str, object]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from engine.cli.tables import show

    table = Table.grid(padding=(0, 2))
    for row in rows:
        about = ". ".join(str(text) for text in (row["title"], row["doc"]) if text)
        if isinstance(problem := row["problem"], dict):
            about = f"cannot be read: {problem['message']}"
        table.add_row(Text(f"  {row['name']}", style="cyan"), Text(say.line(about)))
    show(Text(say.line(heading), style="bold"), table)
