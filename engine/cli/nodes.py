"""`safelight nodes`: the node types at hand, everything about one of them, and the beginning of a new one."""

from __future__ import annotations

import json as codec
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from engine.cli import request, say
from engine.cli.new_node import new
from engine.cli.request import AsJson, Home
from engine.errors import GraphError, Problem

if TYPE_CHECKING:
    from engine.node import NodeType


class Names(TyperGroup):
    """Takes a word that is no command for the name of a node type."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that a line means: `nodes Denoise` is `nodes show Denoise`."""
        return super().resolve_command(ctx, args if args[0] in self.commands else ["show", *args])


app = typer.Typer(
    cls=Names,
    help="List the node types, explain one, or begin one of your own.",
    options_metavar="[OPTIONS]",
    subcommand_metavar="[NAME | COMMAND]",
)
app.command()(new)


@app.callback(invoke_without_command=True)
def nodes(ctx: typer.Context, home: Home = None, json: AsJson = False) -> int:
    """List the node types, explain one, or begin one of your own."""
    if ctx.invoked_subcommand is None:
        return every(home, json)
    # What stands before the command holds for it too, unless it says otherwise itself.
    ctx.default_map = {ctx.invoked_subcommand: {"home": home, "json": json}}
    return 0


def every(home: Path | None, json: bool) -> int:
    """List the node types."""
    with request.session(home) as session:
        registry = session.registry
    if json:
        say.as_json(
            {
                "nodes": [registry.types[known].schema() for known in sorted(registry.types)],
                "problems": [problem.as_json() for problem in registry.problems],
            }
        )
    else:
        say.problems(registry.problems)
        _list(registry.types.values())
    return 0


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A node type, to be told all about it.")],
    home: Home = None,
    json: AsJson = False,
) -> int:
    """Explain a node type; `show` may be left out."""
    with request.session(home) as session:
        registry = session.registry
    node_type = registry.types.get(name.partition("@")[0])
    if node_type is None:
        hint = registry.near(name)
        problem = Problem("unknown_type", f"there is no node type {name!r}", hint=hint)
        raise GraphError([problem, *registry.problems])
    if json:
        say.as_json(node_type.schema())
    else:
        _explain(node_type)
    return 0


def _list(types: Any) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    categories: dict[str, list[NodeType]] = defaultdict(list)
    for node_type in types:
        categories[node_type.category].append(node_type)
    console = Console()
    width = max((len(node_type.name) for node_type in types), default=0)
    for category in sorted(categories):
        console.print(Text(say.line(category), style="bold"))
        rows = Table.grid(padding=(0, 2))
        rows.add_column(min_width=width)
        for node_type in sorted(categories[category], key=lambda node_type: node_type.name):
            first = node_type.doc.partition("\n")[0]
            first += f" (deprecated: {node_type.deprecated})" if node_type.deprecated else ""
            rows.add_row(Text(f"  {node_type.name}", style="cyan"), Text(say.line(first)))
        console.print(rows)


def _explain(node_type: NodeType) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    console.print(Text(say.line(f"{node_type.id} · {node_type.category}"), style="bold"))
    console.print(Text(say.plain(node_type.doc)))
    if node_type.deprecated:
        console.print(Text(say.line(f"deprecated: {node_type.deprecated}"), style="yellow"))
    schema = node_type.schema()
    if schema["inputs"]:
        inputs = Table("input", "takes", "default", "what it does", box=SIMPLE, pad_edge=False)
        for name, item in schema["inputs"].items():
            default = "required" if item["required"] else codec.dumps(item.get("default"), ensure_ascii=False)
            inputs.add_row(
                Text(name, style="cyan"),
                Text(say.line(_takes(item))),
                Text(say.line(default)),
                Text(say.plain(item.get("description", ""))),
            )
        console.print(inputs)
    outputs = Table("output", "brings", box=SIMPLE, pad_edge=False)
    for name, kind in schema["outputs"].items():
        outputs.add_row(Text(name, style="cyan"), Text(say.line(kind)))
    console.print(outputs)
    if node_type.passes:
        told = ", ".join(f"{name} as {output}" for output, name in node_type.passes.items())
        console.print(Text(say.line(f"off, it hands on {told}")))


def _takes(item: dict[str, Any]) -> str:
    if "enum" in item:
        return " | ".join(map(str, item["enum"]))
    ends = item.get("minimum"), item.get("maximum")
    return f"{item['wire']}, {ends[0]} to {ends[1]}" if None not in ends else str(item["wire"])
