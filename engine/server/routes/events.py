"""The stream of events: server-sent events with numbers, from which a client can continue."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from engine.queue.event_log import Subscription
from engine.queue.stream_events import ServerClosing
from engine.server.event_schema import STREAM
from engine.server.refusal import refused
from engine.server.services import Served, Services

router = APIRouter(tags=["events"])

PING_SECONDS = 15.0
"""A reader receives a comment after so many seconds without an event, so that proxies keep the connection."""
PLACE = r"(?:([0-9a-f]{1,64})-)?([0-9]{1,15})"
"""The place of a reader in the stream: the id of an event, or its number alone."""


@router.get("/events", response_class=StreamingResponse, responses=STREAM)
async def events(
    served: Served,
    since: Annotated[
        str | None, Query(pattern=f"^{PLACE}$", description="Replay the events after this id or number.")
    ] = None,
    last_event_id: Annotated[
        str | None,
        Header(max_length=100, description="Browsers send it when they reconnect; it overrides `since`."),
    ] = None,
) -> StreamingResponse:
    """Stream the events of all runs until the server stops.

    The first event is `hello`. If its `missed` is true, some events cannot be replayed: read the state of the
    runs again. For a slow client, newer progress and previews replace those that it has not read.
    """
    reader = served.queue.events.subscribe(*_place(last_event_id or since))
    served.streams.check()
    # The headers that keep proxies from holding back events.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_stream(served, reader), media_type="text/event-stream", headers=headers)


async def _stream(served: Services, reader: Subscription) -> AsyncIterator[bytes]:
    """Yield the events for one client as server-sent events, and a comment if none came for some seconds."""
    log = served.queue.events
    with served.streams.one(), served.hub.woken() as changed:
        while True:
            changed.clear()
            while taken := reader.take():
                yield b"".join(
                    format_sse_event(data_str=event.text, id=f"{log.server_id}-{event.seq}")
                    for event in taken
                )
                if any(isinstance(event.data, ServerClosing) for event in taken):
                    return
            try:
                async with asyncio.timeout(PING_SECONDS):
                    await changed.wait()
            except TimeoutError:
                yield KEEPALIVE_COMMENT


def _place(text: str | None) -> tuple[int | None, str | None]:
    """Split an event id into the event's number and the server's id (None if it has none).

    Raises:
        Refused: the text is not an event id (400).
    """
    if text is None:
        return None, None
    match = re.fullmatch(PLACE, text)
    if match is None:
        raise refused(400, "bad_event_id", f"{text!r} is not the id of an event", input="Last-Event-ID")
    return int(match[2]), match[1]
