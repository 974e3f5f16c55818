"""`safelight nodes`: the node types at hand, and everything about one of them."""

from __future__ import annotations

import json as codec
from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli import request, say
from engine.cli.request import AsJson, Home
from engine.errors import GraphError, Problem

if TYPE_CHECKING:
    from engine.node import NodeType


def nodes(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A node type, to be told all about it.")
    ] = None,
    home: Home = None,
    json: AsJson = False,
) -> int:
    """List the node types, or explain one."""
    with request.session(home) as session:
        registry = session.registry
    if name is not None:
        node_type = registry.types.get(name.partition("@")[0])
        if node_type is None:
            problem = Problem("unknown_type", f"there is no node type {name!r}", hint=registry.near(name))
            raise GraphError([problem, *registry.problems])
        if json:
            say.as_json(node_type.schema())
        else:
            _explain(node_type)
    elif json:
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


def _takes(item: dict[str, Any]) -> str:
    if "enum" in item:
        return " | ".join(map(str, item["enum"]))
    ends = item.get("minimum"), item.get("maximum")
    return f"{item['wire']}, {ends[0]} to {ends[1]}" if None not in ends else str(item["wire"])
