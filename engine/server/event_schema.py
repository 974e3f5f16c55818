"""The OpenAPI schemas of the events that `GET /api/v1/events` sends, one for each type of event."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter, create_model

from engine.queue.stream_events import EVENTS, StreamEvent

NAME = "ServerEvent"
"""The schema of any event; its `type` decides which of the others it is."""

STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events; the `data` of each is one JSON object.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "x-item-schema": {  # OpenAPI 3.2 has `itemSchema`, which readers of 3.1 refuse
                    "type": "object",
                    "required": ["data"],
                    "properties": {
                        "id": {"type": "string"},
                        "data": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "contentSchema": {"$ref": f"#/components/schemas/{NAME}"},
                        },
                    },
                },
            }
        },
    }
}
"""The description of the stream in OpenAPI."""


class _Envelope(BaseModel):
    seq: int
    """Events are numbered; a number is missing where a newer event has replaced an older one."""
    ts: float
    """Seconds since the epoch."""
    run: str | None
    """The run that the event is about."""
    document: str | None
    """The document that the run was submitted from."""
    node: str | None
    """The node of the document."""


def event_schemas(ref: str) -> dict[str, Any]:
    """Return the OpenAPI schemas of all types of events, by schema name.

    Args:
        ref: the prefix of references to the schemas, such as `#/components/schemas/`.
    """
    schemas: dict[str, Any] = {}
    mapping = {}
    for type_name, data in EVENTS.items():
        name = f"{data.__name__}Event"
        fields: dict[str, Any] = {"type": (Literal[type_name], ...), "data": (data, ...)}
        model = create_model(name, __base__=_Envelope, __doc__=data.__doc__, **fields)
        schema = TypeAdapter(model).json_schema(ref_template=ref + "{model}", mode="serialization")
        schemas.update(schema.pop("$defs", {}))
        schemas[name] = schema
        mapping[type_name] = ref + name
    if "Json" in schemas:  # pydantic describes it by itself, which generators of clients cannot follow
        schemas["Json"] = {"description": "Any JSON value."}
    schemas[NAME] = {
        "description": " ".join((StreamEvent.__doc__ or "").split()),
        "oneOf": [{"$ref": place} for place in mapping.values()],
        "discriminator": {"propertyName": "type", "mapping": mapping},
    }
    return schemas
