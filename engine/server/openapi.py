"""Completes the OpenAPI document that FastAPI generates: graphs, events, the token, error responses."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from engine.document.json_schema import json_schema
from engine.server.event_schema import event_schemas
from engine.server.schema import GRAPH_MARK, ProblemsBody

_REF = "#/components/schemas/"


def operation_id(route: APIRoute) -> str:
    """Return the name of an operation in generated clients: the name of its function."""
    return route.name


def install(app: FastAPI) -> None:
    """Replace the application's `openapi` method by one that returns the completed document."""
    generate = app.openapi

    def described() -> dict[str, Any]:
        if "x-complete" not in generate():
            _complete(generate())
        return generate()

    app.openapi = described  # type: ignore[method-assign]


def _complete(tree: dict[str, Any]) -> None:
    """Add the schemas of graphs and events, the token, and the shape of all error responses."""
    schemas = tree.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(_graph_schemas())
    schemas.update(event_schemas(_REF))
    problems = ProblemsBody.model_json_schema(ref_template=_REF + "{model}")
    schemas.update(problems.pop("$defs", {}))
    schemas["ProblemsBody"] = problems
    refusal = {
        "description": "The request was refused, for the reasons in the body.",
        "content": {"application/json": {"schema": {"$ref": f"{_REF}ProblemsBody"}}},
    }
    for path in tree["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"]["4XX"] = operation["responses"]["5XX"] = refusal
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    tree["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "The token that the server prints."}
    }
    tree["security"] = [{"token": []}]
    tree["paths"]["/healthz"]["get"]["security"] = []
    _refer_to_graphs(tree)
    tree["x-complete"] = True


def _refer_to_graphs(tree: Any) -> None:
    """Replace each schema with `GRAPH_MARK` by a reference to the schema of graphs."""
    if isinstance(tree, dict):
        if tree.pop(GRAPH_MARK, False):
            tree["$ref"] = f"{_REF}GraphDocument"
            tree.pop("title", None)
        for item in tree.values():
            _refer_to_graphs(item)
    elif isinstance(tree, list):
        for item in tree:
            _refer_to_graphs(item)


def _graph_schemas() -> dict[str, Any]:
    """Return the schema of graph documents and of their parts, by component name."""
    schema = json_schema()
    del schema["$schema"]
    definitions = schema.pop("$defs")
    renamed = {f"#/$defs/{name}": _REF + _component(name) for name in definitions}
    parts = {"GraphDocument": schema, **{_component(name): part for name, part in definitions.items()}}
    described: dict[str, Any] = _with_refs(parts, renamed)
    return described


def _component(name: str) -> str:
    return f"Graph{name[0].upper()}{name[1:]}"


def _with_refs(tree: Any, renamed: dict[str, str]) -> Any:
    if isinstance(tree, dict):
        return {
            key: renamed.get(item, item)
            if key == "$ref" and isinstance(item, str)
            else _with_refs(item, renamed)
            for key, item in tree.items()
        }
    return [_with_refs(item, renamed) for item in tree] if isinstance(tree, list) else tree
