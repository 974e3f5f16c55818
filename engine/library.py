"""Graphs that other graphs name by file, such as `./upscale.json`."""

from __future__ import annotations

from pathlib import Path

from engine import source
from engine.errors import GraphError, Problem
from engine.graph import Graph
from engine.inline import Read
from engine.registry import near


def library(root: Path, local: bool) -> Read:
    """What reads them.

    Args:
        root: the folder of a graph that lies in none, such as one sent over the network.
        local: True if any file of this machine may be named; False for those below `root` only.
    """

    def read(name: str, folder: Path | None) -> Graph:
        base = (folder if folder is not None and local else root).resolve()
        path = (base / name).resolve()
        if not local and not path.is_relative_to(root.resolve()):
            hint = f"graphs are taken from {root} and below"
            raise GraphError([Problem("forbidden", f"{name} leads out of the folder of graphs", hint=hint)])
        if not path.is_file():
            known = [f"./{other.name}" for other in sorted(base.glob("*.json"))[:2000]]
            hint = near(name, known) or f"it is looked for in {base}"
            raise GraphError([Problem("missing_graph", f"there is no graph {name}", hint=hint)])
        return source.load(path)

    return read
