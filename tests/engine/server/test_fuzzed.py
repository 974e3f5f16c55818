"""schemathesis sends valid and invalid requests to every operation of the API, and checks each answer."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.server.app import api
from tests.engine.server.asking import TOKEN
from tests.engine.server.conftest import App

PLAIN: dict[str, Any] = {"database": None, "deadline": None, "suppress_health_check": list(HealthCheck)}


PLACES = [
    ("POST", "/api/v1/graphs/validate"),
    ("PUT", "/api/v1/graphs/{id}"),
    ("PUT", "/api/v1/drafts/{tab}"),
    ("POST", "/api/v1/runs"),
]
"""The operations that take a graph."""


class Forwarded:
    """Passes requests to the application, which a fixture opens after the tests were collected.

    Args:
        description: the API to read the OpenAPI document from.
    """

    def __init__(self, description: ASGIApp) -> None:
        self.app = description

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def accept_long_addresses(schema: Any) -> None:
    """Count 414 as a refusal: parameters that are too long make an address that is too long."""
    check = schema.config.checks.negative_data_rejection
    check.expected_statuses = [*check.expected_statuses, "414"]


any_graph = api()
# Documents of graphs are large, so the short test sends any objects in their place.
any_graph.openapi()["components"]["schemas"]["GraphDocument"] = {"type": "object"}
forwarded = Forwarded(any_graph)
# A stream of events never ends, and a call waits for a worker; test_server.py has both.
quick = schemathesis.openapi.from_asgi("/api/v1/openapi.json", forwarded).exclude(
    operation_id=["events", "call_graph"]
)
quick.config.phases.coverage.enabled = False  # its thousands of requests would be made at collection
# Each request has the token, so one that is said to lack it is valid. The check `ignored_auth` leaves it out.
quick.config.generation.with_security_parameters = False
accept_long_addresses(quick)


@quick.parametrize()
@settings(max_examples=3, **PLAIN)
def test_no_request_breaks_the_server(case: schemathesis.Case[Any], app: App) -> None:
    """Data of a valid shape may still name nothing that exists, so that it is refused."""
    _send(case, forwarded, app)


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("place", PLACES, ids=" ".join)
def test_many_requests_with_whole_graphs_break_nothing(
    place: tuple[str, str], mode: GenerationMode, app: App
) -> None:
    to = Forwarded(api())
    whole = schemathesis.openapi.from_asgi("/api/v1/openapi.json", to)
    whole.config.generation.with_security_parameters = False
    accept_long_addresses(whole)
    operation = whole[place[1]][place[0]]

    @given(operation.as_strategy(generation_mode=mode))
    @settings(max_examples=30, **PLAIN)
    def send(case: schemathesis.Case[Any]) -> None:
        _send(case, to, app)

    send()


def _send(case: schemathesis.Case[Any], to: Forwarded, app: App) -> None:
    to.app = app.asgi
    headers = {"Authorization": f"Bearer {TOKEN}"}
    case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])
