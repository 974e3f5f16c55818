"""Checks the bodies of requests: media type, size, speed, and strict JSON.

The application receives a body only when it is complete. The strict JSON parser reads it first, so that the
application's own parser never sees a repeated key, a number that is not finite, or deep nesting.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine import strict_json
from engine.errors import GraphError
from engine.server.limits import Limits
from engine.server.refusal import Refused, refused, send_refusal

_INLINE_BYTES = 64 << 10
"""Larger JSON is read on another thread, so that other requests do not wait."""

_CHANGES = ("POST", "PUT", "PATCH", "DELETE")


class ClientGone(Exception):
    """Raised when the client closes the connection before the body is complete."""


class Bodies:
    """Checks each body before the application receives it.

    The body of a `POST`, `PUT`, `PATCH` or `DELETE` must be JSON, which a form on a page of another site
    cannot send. The paths in `uploads` take any bytes. The paths in `untyped` take JSON with any media type,
    but not from browsers, since a page of another site may have sent it.

    Args:
        app: receives the accepted requests, each with its whole body.
        limits: the limits.
        uploads: the paths of uploads.
        untyped: the paths whose clients send JSON without its media type.
    """

    def __init__(
        self, app: ASGIApp, limits: Limits, uploads: Collection[str], untyped: Collection[str] = ()
    ) -> None:
        self._app, self._limits = app, limits
        self._uploads, self._untyped = frozenset(uploads), frozenset(untyped)
        self._uploading = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request when its whole body has arrived and is accepted."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_upload = scope["path"] in self._uploads
        try:
            headers = Headers(scope=scope)
            self._check_head(scope, headers, is_upload)
            if is_upload and self._uploading >= self._limits.uploads:
                message = "too many files are being uploaded at the same time"
                raise refused(429, "too_many_requests", message, headers={"Retry-After": "1"})
            self._uploading += is_upload
            try:
                body = await self._body(scope, headers, receive, is_upload)
                await self._app(scope, _replayed(body, receive), send)
            finally:
                self._uploading -= is_upload
        except Refused as refusal:
            # The rest of the body may still arrive, so the connection cannot be used again.
            refusal.headers["Connection"] = "close"
            await send_refusal(scope, send, refusal)
        except ClientGone:
            return

    def _check_head(self, scope: Scope, headers: Headers, is_upload: bool) -> None:
        """Check the URL and the headers.

        Raises:
            Refused: the URL or the headers are too long, or the media type of the body is not accepted.
        """
        url = len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"])
        if url > self._limits.url_bytes:
            raise refused(414, "too_large", f"the URL is longer than {self._limits.url_bytes:,} bytes")
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if len(scope["headers"]) > self._limits.headers or size > self._limits.header_bytes:
            raise refused(431, "too_large", "the request has too many or too long headers")
        if is_upload or scope["method"] not in _CHANGES:
            return
        if not _has_body(headers):
            return  # every route that changes something needs a body, except DELETE, which no form can send
        if scope["path"] in self._untyped and not _is_browser(headers):
            return
        types = headers.getlist("content-type")
        media, _, parameters = (types[0] if len(types) == 1 else "").partition(";")
        if media.strip().lower() != "application/json" or "charset" in parameters.replace(
            "charset=utf-8", ""
        ):
            hint = "send the header Content-Type: application/json"
            raise refused(415, "not_json", "the body of a change must be JSON", hint)
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise refused(415, "not_json", "the body is compressed", "send it without Content-Encoding")

    async def _body(self, scope: Scope, headers: Headers, receive: Receive, is_upload: bool) -> bytes:
        """Receive the whole body, and check it.

        Raises:
            Refused: the body is too large, arrives too slowly, or is not strict JSON.
        """
        most = self._limits.blob_bytes if is_upload else self._limits.json_bytes
        too_large = refused(413, "too_large", f"the body is larger than {most:,} bytes")
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit():
            raise refused(400, "bad_request", "the Content-Length is not a number")
        if int(length) > most:
            raise too_large
        if not _has_body(headers):
            body = b""
        else:
            body = await self._received(receive, most, too_large)
        if not is_upload and scope["method"] in _CHANGES and body:
            try:
                if len(body) <= _INLINE_BYTES:
                    strict_json.parse(body, max_bytes=most)
                else:
                    await run_in_threadpool(strict_json.parse, body, max_bytes=most)
            except GraphError as error:
                raise Refused(400, *error.problems) from None
        return body

    async def _received(self, receive: Receive, most: int, too_large: Refused) -> bytes:
        pieces: list[bytes] = []
        size = 0
        ends = time.monotonic() + self._limits.body_seconds
        while True:
            wait = min(self._limits.idle_seconds, ends - time.monotonic())
            try:
                message = await asyncio.wait_for(receive(), max(wait, 0.001))
            except TimeoutError:
                raise refused(408, "slow_body", "the body of the request arrives too slowly") from None
            if message["type"] == "http.disconnect":
                raise ClientGone
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > most:
                raise too_large
            if not message.get("more_body", False):
                return b"".join(pieces)


def _is_browser(headers: Headers) -> bool:
    """Return whether a browser may have sent the request; browsers send one of these headers with changes."""
    return "origin" in headers or any(name.startswith("sec-fetch-") for name in headers)


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return an ASGI `receive` that first returns the given body, and then calls the original `receive`."""
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
