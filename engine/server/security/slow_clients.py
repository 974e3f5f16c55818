"""Closes connections of clients that send the head of a request, or read the response, too slowly."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from engine.server.limits import Limits


def protocol(limits: Limits) -> type[H11Protocol]:
    """Create uvicorn's HTTP protocol class with deadlines for slow clients.

    uvicorn itself waits forever for the head of the first request, and for a client that stops reading.
    """

    class Protocol(H11Protocol):
        _head: asyncio.TimerHandle | None = None
        _answer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._head = self.loop.call_later(limits.head_seconds, transport.abort)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                _cancel(self._head)  # a request has begun
                self._head = None
            elif self._head is None:
                self._head = self.loop.call_later(limits.head_seconds, self.transport.abort)

        def handle_websocket_upgrade(self, event: Any) -> None:
            _cancel(self._head)  # the connection now belongs to the WebSocket
            super().handle_websocket_upgrade(event)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._answer = self.loop.call_later(limits.read_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            _cancel(self._answer)

        def connection_lost(self, exc: Exception | None) -> None:
            _cancel(self._head)
            _cancel(self._answer)
            super().connection_lost(exc)

    return Protocol


def socket_protocol(limits: Limits) -> type[asyncio.Protocol]:
    """Create uvicorn's WebSocket protocol class with a deadline for clients that stop reading."""
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    class SocketProtocol(WebSocketsSansIOProtocol):
        _answer: asyncio.TimerHandle | None = None

        def pause_writing(self) -> None:
            super().pause_writing()
            self._answer = self.loop.call_later(limits.read_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            _cancel(self._answer)

        def connection_lost(self, exc: Exception | None) -> None:
            _cancel(self._answer)
            super().connection_lost(exc)

    return SocketProtocol


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
