"""Error responses: an HTTP status and problems, always in a body of the same shape."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from starlette.types import Scope, Send

from engine.errors import Problem


class Refused(Exception):
    """Raised to refuse a request: the server sends an error response.

    Args:
        status: the HTTP status.
        problems: the reasons, which the response body lists.
        headers: further headers of the response.
    """

    def __init__(self, status: int, *problems: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.status, self.problems, self.headers = status, problems, dict(headers or {})


def refused(
    status: int,
    code: str,
    message: str,
    hint: str | None = None,
    *,
    input: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Refused:
    """Create a `Refused` with one problem."""
    return Refused(status, Problem(code, message, input=input, hint=hint), headers=headers)


def body_of(problems: Iterable[Problem]) -> dict[str, list[dict[str, str | None]]]:
    """Return the JSON body of an error response."""
    return {"problems": [problem.as_json() for problem in problems]}


async def send_refusal(scope: Scope, send: Send, refusal: Refused) -> None:
    """Send the error response for a request, or close a WebSocket that is not accepted yet."""
    if scope["type"] == "websocket":
        # The server process turns a close before the handshake into the status 403.
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.problems[0].code})
        return
    body = json.dumps(body_of(refusal.problems)).encode()
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        **{name.lower(): value for name, value in refusal.headers.items()},
    }
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
