"""The OpenAPI document of one graph: its inputs are the request body, its outputs the response."""

from __future__ import annotations

from typing import Any

from engine.document.graph import Graph, GraphInput
from engine.document.random_seeds import RANDOM
from engine.widgets import SEED_MAX

_TYPES: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "seed": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": SEED_MAX}, {"const": RANDOM}]},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "file": {
        "type": "string",
        "description": "The name of a file, or `sha256:HASH` of an upload to `POST /api/v1/blobs`.",
    },
    "json": {},
}
"""The JSON Schema for each type of graph input; other types need a wire and cannot be given here."""

_FILE = {
    "type": "object",
    "required": ["url", "digest", "media", "size", "index"],
    "properties": {
        "url": {"type": "string", "description": "The address of the file on this server."},
        "digest": {"type": "string"},
        "media": {"type": "string"},
        "size": {"type": "integer"},
        "index": {"type": "array", "items": {"type": "integer"}},
    },
}


def inputs_schema(graph: Graph) -> dict[str, Any]:
    """Return the JSON Schema of the request body: an object with the inputs of the graph."""
    properties = {name: _input(item) for name, item in graph.inputs.items()}
    required = [name for name, item in graph.inputs.items() if item.required]
    schema: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": properties}
    if required:
        schema["required"] = required
    return schema


def outputs_schema(graph: Graph) -> dict[str, Any]:
    """Return the JSON Schema of the outputs in the server's response; a file is given as its URL."""
    output = {
        "type": "object",
        "required": ["type", "files"],
        "properties": {
            "type": {"type": "string", "description": "The wire type, such as Image; json for a JSON value."},
            "value": {"description": "The value, if it is JSON."},
            "files": {"type": "array", "items": _FILE},
        },
    }
    return {"type": "object", "properties": {name: output for name in graph.outputs}}


def document(id: str, graph: Graph) -> dict[str, Any]:
    """Return the OpenAPI document of a graph, for generators of clients."""
    answer = {
        "type": "object",
        "required": ["run", "state", "outputs", "problems"],
        "properties": {
            "run": {"type": "string"},
            "state": {"type": "string"},
            "outputs": outputs_schema(graph),
            "problems": {"type": "array", "items": {"type": "object"}},
        },
    }
    operation = {
        "operationId": "call",
        "summary": graph.title or id,
        "description": graph.doc,
        "parameters": [
            {
                "name": "timeout",
                "in": "query",
                "schema": {"type": "number", "minimum": 0, "maximum": 3600, "default": 60},
                "description": "The seconds to wait for the outputs.",
            }
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": inputs_schema(graph)}},
        },
        "responses": {
            "200": {"description": "The outputs.", "content": {"application/json": {"schema": answer}}},
            "202": {
                "description": "The run has not ended; `GET /api/v1/runs/{run}` follows it.",
                "content": {"application/json": {"schema": answer}},
            },
            "4XX": {"description": "The request was refused, or the run has failed; the body has problems."},
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": graph.title or id, "version": "1", "description": graph.doc},
        "paths": {f"/api/v1/graphs/{id}/call": {"post": operation}},
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}],
    }


def _input(item: GraphInput) -> dict[str, Any]:
    if item.type == "choice":
        schema: dict[str, Any] = {"enum": list(item.choices)}
    else:
        schema = dict(_TYPES.get(item.type, {"not": {}, "description": f"needs a wire of type {item.type}"}))
    if item.doc:
        schema["description"] = f"{item.doc} {schema.get('description', '')}".strip()
    if not item.required:
        schema["default"] = item.default
    # Nodes go through lists, so a list of values is valid wherever a value is.
    values = {key: value for key, value in schema.items() if key not in ("description", "default")}
    if item.type not in ("json", "choice") and values:
        kept: dict[str, Any] = {key: schema[key] for key in ("description", "default") if key in schema}
        return {"anyOf": [values, {"type": "array", "items": values}], **kept}
    return schema
