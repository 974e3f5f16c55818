"""Writes the table of built-in nodes in `nodes/guide.md`: `python -m tests.nodes.node_table`."""

from __future__ import annotations

import re
from pathlib import Path

import nodes
from engine.node import Node

GUIDE = Path(__file__).parents[2] / "nodes" / "guide.md"
_HEAD = "| Category | Node | What it does |\n|---|---|---|\n"
_TABLE = re.compile(re.escape(_HEAD) + r"(?:\|.*\n)*")


def node_table() -> str:
    """The table of the built-in node types: category, name, and the first line of the docstring."""
    members = [getattr(nodes, name) for name in nodes.__all__]
    classes = [member for member in members if isinstance(member, type) and issubclass(member, Node)]
    rows = []
    for node_type in sorted((cls.node_type for cls in classes), key=lambda item: (item.category, item.name)):
        first = node_type.doc.partition("\n")[0].replace("|", "\\|")
        rows.append(f"| {node_type.category} | `{node_type.name}` | {first} |\n")
    return _HEAD + "".join(rows)


def written_table(guide: str) -> str:
    """The table as the guide has it; empty if it has none."""
    found = _TABLE.search(guide)
    return "" if found is None else found[0]


if __name__ == "__main__":
    text = GUIDE.read_text("utf-8")
    GUIDE.write_text(text.replace(written_table(text), node_table()), "utf-8")
