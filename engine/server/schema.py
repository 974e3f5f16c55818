"""The JSON of requests and responses that several routes share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Header, Path
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from engine.fixes import Fix
from engine.server.refusal import refused

Json = Annotated[Any, WithJsonSchema({"description": "Any JSON value."})]

GRAPH_MARK = "x-graph-document"
"""Marks a graph in the schemas of pydantic, which refuse references to schemas that they do not know."""

GraphDocument = Annotated[dict[str, Any], WithJsonSchema({GRAPH_MARK: True})]
"""A graph as saved in a file; `document.json_schema` describes it."""


class Body(BaseModel):
    """The base class of request bodies. Unknown keys and values of wrong types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Nothing(Body):
    """An empty request body."""


def _optional(schema: dict[str, Any]) -> None:
    """Remove the default from a schema, because client generators make a field with a default required."""
    del schema["default"]


class ProblemItem(BaseModel):
    """One error or warning."""

    code: str
    """A stable name by which programs can recognise the problem."""
    severity: Literal["error", "warning"]
    node: str | None
    input: str | None
    """The input of the node, or the field of the request."""
    message: str
    """One sentence."""
    hint: str | None
    """The remedy."""
    fix: Annotated[Fix, Field(discriminator="kind")] | None = Field(None, json_schema_extra=_optional)
    """An edit of the graph that solves the problem; null if none is certain enough."""


class ProblemsBody(BaseModel):
    """The body of every error response."""

    problems: list[ProblemItem]


GraphId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=400,
        description="The name of the graph; a colon separates a sub-folder from the name.",
    ),
]
RunId = Annotated[str, Path(min_length=1, max_length=64, description="The id of the run.")]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=100,
        description='The revision that the change is based on, in quotes, or "*" for any.',
    ),
]


def revision_in(header: str | None) -> str | None:
    """Return the revision in an `If-Match` header; None without the header.

    Raises:
        Refused: the header is not one entity tag (400).
    """
    if header is None or header == "*":
        return header
    if len(header) < 2 or header[0] != '"' or header[-1] != '"' or '"' in header[1:-1]:
        raise refused(400, "bad_revision", "If-Match is not one revision in quotes", input="header.if-match")
    return header[1:-1]
