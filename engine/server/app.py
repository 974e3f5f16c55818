"""The application: the routes of the API behind the checks of every request."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from engine.server import errors, openapi
from engine.server.compat.programs import Program
from engine.server.routes import (
    blobs,
    calls,
    catalogue,
    datasets,
    drafts,
    events,
    graphs,
    health,
    info,
    outputs,
    page,
    published,
    runs,
)
from engine.server.security.access import Access
from engine.server.security.bodies import Bodies
from engine.server.security.headers import SecureHeaders
from engine.server.security.hosts import AllowedHosts
from engine.server.security.rates import Rates
from engine.server.server_log import LoggedRequests
from engine.server.services import Services

API = "/api/v1"
"""The prefix of all addresses of the API."""
UPLOADS = (f"{API}/blobs", f"{API}/import")
"""The addresses that take any bytes."""

ROUTERS = (
    info.router,
    catalogue.router,
    datasets.router,
    graphs.router,
    calls.router,
    drafts.router,
    blobs.router,
    runs.router,
    runs.repeats_router,
    published.router,
    outputs.router,
    events.router,
)


def api(compat: Sequence[Program] = ()) -> FastAPI:
    """Create the API without services and security checks; `application` adds them.

    Args:
        compat: the other programs whose APIs are added; the OpenAPI document does not list them.
    """
    app = FastAPI(
        title="Safelight",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{API}/openapi.json",
        redirect_slashes=False,
        generate_unique_id_function=openapi.operation_id,
    )
    errors.add_handlers(app)
    versioned = APIRouter(prefix=API)
    for router in ROUTERS:
        versioned.include_router(router)
    app.include_router(versioned)
    app.include_router(health.router)
    app.include_router(info.metrics_router)
    app.include_router(page.router)
    for program in compat:
        for prefix in program.prefixes:
            for router in program.routers:
                app.include_router(router, prefix=prefix)
    openapi.install(app)
    return app


def application(
    services: Services, hosts: AllowedHosts, token: str, cookie: str, compat: Sequence[Program] = ()
) -> ASGIApp:
    """Create the application that the server runs: the API behind the checks of every request.

    Args:
        services: the objects that work on the home folder.
        hosts: the accepted `Host` headers.
        token: the secret that each request must carry.
        cookie: the name of the cookie for the token.
        compat: the other programs whose APIs are added.
    """
    app = api(compat)
    app.state.services = services
    uploads = {*UPLOADS, *(address for program in compat for address in program.addresses(program.uploads))}
    untyped = {address for program in compat for address in program.addresses(program.json)}
    guarded = Bodies(app, services.limits, uploads, untyped)
    return LoggedRequests(SecureHeaders(Rates(Access(guarded, hosts, token, cookie), services.limits)))
