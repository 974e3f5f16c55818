"""Reads the bodies of requests in other programs' formats, and converts them to graphs."""

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
    """Parse the body of a request as a JSON object; a missing body is an empty object.

    Raises:
        Refused: the body is not an object (400).
    """
    body = await request.body()
    tree = strict_json.parse(body) if body.strip() else {}
    if not isinstance(tree, dict):
        raise refused(400, "bad_request", "the body is not a JSON object")
    return tree


def imported(served: Services, title: str, tree: Mapping[str, Any]) -> Imported:
    """Convert a request to another program's API to a graph.

    Raises:
        GraphError: the request cannot be converted, or the graph would give another result than that program.
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
            f"Safelight does not support the node type {entry.type.removeprefix(_PLACEHOLDER)}",
            node=found.nodes.get(node),
        )
        for node, entry in found.graph.nodes.items()
        if entry.type.startswith(_PLACEHOLDER) and not entry.off
    ]
    if wrong:
        raise GraphError(wrong)
    return found


def graph_json(found: Imported) -> dict[str, Any]:
    """Return an imported graph as JSON for a `Submission`."""
    tree: dict[str, Any] = json.loads(writer.dump(found.graph))
    return tree
