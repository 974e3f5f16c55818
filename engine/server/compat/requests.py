"""The common parts of the APIs of other programs: reading a body, and making a graph of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import Request

from engine import strict_json
from engine.document import writer
from engine.errors import GraphError, Problem
from engine.server.refusal import refused
from engine.server.services import Services
from engine.sources.foreign import Imported

_WRONG = frozenset({"left_out", "no_output", "too_large"})
"""The warnings of an import after which the picture would not be the one asked for; so are all whose code
begins with `missing_`."""
_PLACEHOLDER = "comfy/"
"""The prefix of node types that stand for nodes without a counterpart."""


async def json_of(request: Request) -> dict[str, Any]:
    """The body of a request as a JSON object; empty for no body.

    Raises:
        Refused: it is not an object (400).
    """
    body = await request.body()
    tree = strict_json.parse(body) if body.strip() else {}
    if not isinstance(tree, dict):
        raise refused(400, "bad_request", "the body is not a JSON object")
    return tree


def imported(served: Services, title: str, tree: Mapping[str, Any]) -> Imported:
    """Convert the request of another program to a graph.

    Raises:
        GraphError: the request cannot be converted, or the graph would give another result than the program.
    """
    found = served.catalogue.read_file(title, json.dumps(tree).encode())
    wrong = [
        replace(problem, severity="error")
        for problem in found.problems
        if problem.code in _WRONG or problem.code.startswith("missing_")
    ]
    wrong += [
        Problem(
            "unknown_node",
            f"Safelight has no counterpart for the node type {entry.type.removeprefix(_PLACEHOLDER)}",
            node=found.nodes.get(node),
        )
        for node, entry in found.graph.nodes.items()
        if entry.type.startswith(_PLACEHOLDER) and not entry.off
    ]
    if wrong:
        raise GraphError(wrong)
    return found


def graph_json(found: Imported) -> dict[str, Any]:
    """The graph as a submission takes it."""
    tree: dict[str, Any] = json.loads(writer.dump(found.graph))
    return tree
