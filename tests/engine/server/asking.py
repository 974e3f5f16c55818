"""Sends one request to an ASGI application, header by header and piece by piece."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Scope

TOKEN = "a-token-of-a-test-0123456789"
HOST = "127.0.0.1:8400"
AUTHORIZATION = ("authorization", f"Bearer {TOKEN}")
JSON = ("content-type", "application/json")


@dataclass
class Answer:
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of the first problem."""
        return str(self.json["problems"][0]["code"])


@dataclass
class Ask:
    """A request. By default it comes from this machine, with the token."""

    method: str = "GET"
    path: str = "/"
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | Sequence[bytes] = b""
    query: str = ""
    pause: float = 0.0
    """The seconds before each piece of the body."""
    host: str | None = HOST
    token: bool = True
    scope: dict[str, Any] = field(default_factory=dict)
    """Further keys of the scope."""


def answer(app: ASGIApp, ask: Ask) -> Answer:
    """The response of the application to a request."""
    return asyncio.run(_answer(app, ask))


async def _answer(app: ASGIApp, ask: Ask) -> Answer:
    pieces = [ask.body] if isinstance(ask.body, bytes) else list(ask.body)
    headers = list(ask.headers)
    if ask.host is not None:
        headers.append(("host", ask.host))
    if ask.token:
        headers.append(AUTHORIZATION)
    names = {name for name, _ in headers}
    if any(pieces) and not {"content-length", "transfer-encoding"} & names:
        headers.append(("content-length", str(sum(map(len, pieces)))))
    scope: Scope = {
        "type": "http",
        "http_version": "1.1",
        "method": ask.method,
        "path": ask.path,
        "raw_path": ask.path.encode(),
        "query_string": ask.query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8400),
        "scheme": "http",
        "root_path": "",
        **ask.scope,
    }
    sent: list[Message] = []
    finished = asyncio.Event()

    async def receive() -> Message:
        if not pieces:
            await finished.wait()
            return {"type": "http.disconnect"}
        await asyncio.sleep(ask.pause)
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    finished.set()
    start = sent[0]
    if start["type"] == "websocket.close":
        return Answer(403, {}, b"")
    decoded = {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(start["status"], decoded, b"".join(message.get("body", b"") for message in sent[1:]))
