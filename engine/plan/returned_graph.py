"""Converts a graph that a node returned into outputs that the store can hold, and back.

The result of the node is the graph itself, not the results of the graph's steps. Each run plans those steps
again, because their files or code may have changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.document.graph import Graph
from engine.document.reader import parse
from engine.document.writer import dump
from engine.errors import GraphError, NodeError, Problem

OUTPUT = "^graph"
"""The output name under which the graph is stored; it is not a valid name for a node's output."""


def as_outputs(graph: Graph) -> dict[str, object]:
    """Convert a returned graph into the outputs of a result.

    Raises:
        NodeError: a value in the graph is not JSON.
    """
    try:
        text = dump(graph)
    except (TypeError, ValueError, AttributeError) as error:
        hint = "use JSON values in Literal(...), and wire other values with Param(...)"
        message = f"run() returned a graph that cannot be written as JSON: {error}"
        raise NodeError(message, hint=hint, code="bad_expansion") from error
    return {OUTPUT: {"graph": text, "folder": None if graph.folder is None else str(graph.folder)}}


def from_outputs(outputs: Mapping[str, object]) -> Graph | None:
    """Read the returned graph from the outputs of a result; None if the node returned values instead.

    Raises:
        GraphError: another version of Safelight wrote the graph in a format that this one cannot read.
    """
    if OUTPUT not in outputs:
        return None
    tree: Any = outputs[OUTPUT]
    try:
        graph = parse(tree["graph"])
        graph.folder = None if tree["folder"] is None else Path(tree["folder"])
    except (KeyError, TypeError) as error:
        raise GraphError([Problem("bad_expansion", f"a cached graph cannot be read: {error!r}")]) from error
    return graph
