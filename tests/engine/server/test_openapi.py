"""The OpenAPI document: the one in the repository is current, and describes every event and refusal."""

from __future__ import annotations

import json

import jsonschema
import pytest

from engine.queue.stream_events import EVENTS, Hello, QueueChanged, made
from engine.server import write_openapi
from engine.server.app import api

TREE = json.loads(write_openapi.text())


def test_the_document_in_the_repository_is_current() -> None:
    """`python -m engine.server.write_openapi` writes it."""
    assert write_openapi.FILE.read_text(encoding="utf-8") == write_openapi.text()


def test_every_operation_has_a_name_a_sentence_and_the_shape_of_refusals() -> None:
    operations = [operation for path in TREE["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert operation["description"]
        shape = operation["responses"]["4XX"]["content"]["application/json"]["schema"]
        assert shape == {"$ref": "#/components/schemas/ProblemsBody"}


def test_every_change_needs_a_body_that_no_form_can_send() -> None:
    """A request without a body passes the check of the type, so no route may accept it."""
    changes = [
        operation
        for path in TREE["paths"].values()
        for method, operation in path.items()
        if method not in ("get", "delete")
    ]
    assert len(changes) > 10
    for operation in changes:
        assert operation["requestBody"]["required"]


def test_every_reference_leads_to_a_schema() -> None:
    def references(tree: object) -> set[str]:
        if isinstance(tree, dict):
            own = {tree["$ref"]} if isinstance(tree.get("$ref"), str) else set()
            return own.union(*map(references, tree.values()))
        return set().union(*map(references, tree)) if isinstance(tree, list) else set()

    known = {f"#/components/schemas/{name}" for name in TREE["components"]["schemas"]}
    assert references(TREE) <= known


@pytest.mark.parametrize("type_name", EVENTS)
def test_each_type_of_event_is_described(type_name: str) -> None:
    mapping = TREE["components"]["schemas"]["ServerEvent"]["discriminator"]["mapping"]
    schema = TREE["components"]["schemas"][mapping[type_name].rpartition("/")[2]]
    assert schema["properties"]["type"]["const"] == type_name


def test_events_fit_their_schema() -> None:
    schema = {"$ref": "#/components/schemas/ServerEvent", "components": TREE["components"]}
    for data in (Hello("a", 1, 1, False), QueueChanged(0, 2, None)):
        event = json.loads(made(1, 1.0, data, "r", None, None).text)
        jsonschema.validate(event, schema)
        event["data"]["extra"] = event["data"].pop(next(iter(event["data"])))
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(event, schema)


def test_every_route_of_the_api_is_described() -> None:
    listed = set(TREE["paths"])
    assert {"/api/v1/runs", "/api/v1/events", "/api/v1/node-types", "/healthz"} <= listed
    assert api().openapi()["paths"].keys() == listed
