"""Turns exceptions that routes raise into error responses with problems."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from engine.errors import GraphError, NodeError, Problem, SafelightError
from engine.problem_list import Problems
from engine.server.refusal import Refused, body_of
from engine.wrong_value import reason

STATUS: Mapping[str, int] = {
    "unknown_run": 404,
    "unknown_output": 404,
    "unknown_dataset": 404,
    "not_computed": 409,
    "disk_full": 507,
    "queue_locked": 503,
    "unwritable": 503,
}
"""The HTTP status for a problem with this code; 422 for all others."""

log = logging.getLogger("safelight.server")


def add_handlers(app: FastAPI) -> None:
    """Make every exception of a route an error response with a `ProblemsBody`."""

    @app.exception_handler(Refused)
    def of_refusal(request: Request, error: Refused) -> JSONResponse:
        return JSONResponse(body_of(error.problems), error.status, error.headers)

    @app.exception_handler(GraphError)
    def of_graph(request: Request, error: GraphError) -> JSONResponse:
        status = next((STATUS[item.code] for item in error.problems if item.code in STATUS), 422)
        return JSONResponse(body_of(error.problems), status)

    @app.exception_handler(NodeError)
    def of_node(request: Request, error: NodeError) -> JSONResponse:
        return JSONResponse(body_of([Problem(error.code, error.message, hint=error.hint)]), 422)

    @app.exception_handler(SafelightError)
    def of_other(request: Request, error: SafelightError) -> JSONResponse:
        return JSONResponse(body_of([Problem("failed", str(error))]), 500)

    @app.exception_handler(RequestValidationError)
    def of_validation(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = Problems()
        for item in error.errors():
            place = ".".join(str(part) for part in item["loc"])
            problems.append(Problem("bad_request", f"{place} {reason(item)}", input=place))
        return JSONResponse(body_of(problems), 422)

    @app.exception_handler(HTTPException)
    def of_http(request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "unknown_address", 405: "bad_method"}.get(error.status_code, "bad_request")
        hint = "GET /api/v1/openapi.json describes the API"
        body = body_of([Problem(code, f"{request.method} {request.url.path}: {error.detail}", hint=hint)])
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_methods(app, request.url.path))
        return JSONResponse(body, error.status_code, headers)

    @app.exception_handler(OSError)
    def of_os(request: Request, error: OSError) -> JSONResponse:
        message = f"a file in the home folder cannot be read or written: {error.strerror or error}"
        problem = Problem("unwritable", message)
        return JSONResponse(body_of([problem]), 507 if error.errno in (28, 122) else 503)

    @app.exception_handler(Exception)
    def of_bug(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        hint = "server/log.jsonl in the home folder has the traceback"
        problem = Problem("internal", "the server has an internal error", hint=hint)
        return JSONResponse(body_of([problem]), 500)


def _methods(app: FastAPI, path: str) -> list[str]:
    """Return the HTTP methods that a path of the API supports; empty for an unknown path."""
    paths = app.openapi()["paths"]
    if path in paths:
        return sorted(method.upper() for method in paths[path])
    found: set[str] = set()
    for template, operations in paths.items():
        pattern = re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path):
            found.update(method.upper() for method in operations)
    return sorted(found)
