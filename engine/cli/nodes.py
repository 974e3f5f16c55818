"""`safelight nodes`: lists the node types, shows one of them, and creates a new one."""

from __future__ import annotations

import json as codec
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli import request, say, tables
from engine.cli.commands import Command, Group
from engine.cli.new_node import new
from engine.cli.request import AsJson, Home
from engine.errors import GraphError, Problem

if TYPE_CHECKING:
    from rich.console import RenderableType

    from engine.node import NodeType


class Names(Group):
    """A command group that treats any word except its subcommands as the name of a node type."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the subcommand to run: `nodes Denoise` means `nodes show Denoise`."""
        return super().resolve_command(ctx, args if args[0] in self.commands else ["show", *args])


MOST_CHOICES = 8
"""With more choices than this, an input has them below the table."""

app = typer.Typer(
    cls=Names,
    help="List the node types, show one of them, or create one of your own.",
    options_metavar="[OPTIONS]",
    subcommand_metavar="[NAME | COMMAND]",
)
app.command(cls=Command)(new)


@app.callback(invoke_without_command=True)
def nodes(ctx: typer.Context, home: Home = None, json: AsJson = False) -> int:
    """List the node types, show one of them, or create one of your own."""
    if ctx.invoked_subcommand is None:
        return every(home, json)
    # Options before the command hold for it too, unless it has its own.
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


@app.command(cls=Command)
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The node type, such as Denoise.")],
    home: Home = None,
    json: AsJson = False,
) -> int:
    """Show the inputs and outputs of a node type; the word `show` may be left out."""
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
        _show(node_type)
    return 0


def _list(types: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    categories: dict[str, list[NodeType]] = defaultdict(list)
    for node_type in types:
        categories[node_type.category].append(node_type)
    width = max((len(node_type.name) for node_type in types), default=0)
    for category in sorted(categories):
        rows = Table.grid(padding=(0, 2))
        rows.add_column(min_width=width)
        for node_type in sorted(categories[category], key=lambda node_type: node_type.name):
            first = node_type.doc.partition("\n")[0]
            first += f" (deprecated: {node_type.deprecated})" if node_type.deprecated else ""
            rows.add_row(Text(f"  {node_type.name}", style="cyan"), Text(say.line(first)))
        tables.show(Text(say.line(category), style="bold"), rows)


def _show(node_type: NodeType) -> None:
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    items: list[RenderableType] = [
        Text(say.line(f"{node_type.id} · {node_type.category}"), style="bold"),
        Text(say.plain(_unwrapped(node_type.doc))),
    ]
    if node_type.deprecated:
        items.append(Text(say.line(f"deprecated: {node_type.deprecated}"), style="yellow"))
    schema = node_type.schema()
    if schema["inputs"]:
        inputs = Table("input", "type", "default", "description", box=SIMPLE, pad_edge=False)
        for name, item in schema["inputs"].items():
            default = "required" if item["required"] else codec.dumps(item.get("default"), ensure_ascii=False)
            inputs.add_row(
                Text(name, style="cyan"),
                Text(say.line(_type(item))),
                Text(say.line(default)),
                Text(say.plain(_unwrapped(item.get("description", "")))),
            )
        items.append(inputs)
        items += [
            Text(say.line(f"{name}: {', '.join(map(str, item['enum']))}"))
            for name, item in schema["inputs"].items()
            if len(item.get("enum", ())) > MOST_CHOICES
        ]
    outputs = Table("output", "type", box=SIMPLE, pad_edge=False)
    for name, kind in schema["outputs"].items():
        outputs.add_row(Text(name, style="cyan"), Text(say.line(kind)))
    items.append(outputs)
    if node_type.passes:
        passed = ", ".join(f"{name} as {output}" for output, name in node_type.passes.items())
        items.append(Text(say.line(f"When the node is off, it passes {passed}.")))
    tables.show(*items)


def _unwrapped(text: str) -> str:
    """Join the lines of each paragraph of a docstring, so that the terminal wraps them."""
    return re.sub(r"(?<!\n)\n(?![\n *-])", " ", text)


def _type(item: dict[str, Any]) -> str:
    if "enum" in item:
        choices = [str(choice) for choice in item["enum"]]
        if len(choices) <= MOST_CHOICES:
            return " | ".join(choices)
        return " | ".join(choices[:2]) + f" | … {len(choices)} choices"
    ends = item.get("minimum"), item.get("maximum")
    return f"{item['wire']}, {ends[0]} to {ends[1]}" if None not in ends else str(item["wire"])
