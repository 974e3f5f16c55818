"""ComfyUI's API: the WebSocket with the events of a client's runs."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect
from starlette.concurrency import run_in_threadpool

from engine.errors import GraphError
from engine.queue.event_log import Subscription
from engine.queue.stream_events import (
    NodePreview,
    NodeProgress,
    NodeStarted,
    QueueChanged,
    RunFinished,
    RunOutput,
    RunPlan,
    RunStarted,
    ServerClosing,
    StreamEvent,
)
from engine.server.compat.comfyui_runs import Notes, error_of, picture
from engine.server.compat.comfyui_services import ComfyServices, of_app
from engine.server.refusal import Refused

router = APIRouter(include_in_schema=False)

_PREVIEW = 1
_FORMATS = {"image/jpeg": 1, "image/png": 2}
"""The numbers of a binary message: its kind, and the format of the picture."""

Message = dict[str, Any] | bytes


@router.websocket("/ws")
async def follow(
    socket: WebSocket, client: Annotated[str, Query(alias="clientId", max_length=200)] = ""
) -> None:
    """Send the events of the client's runs, and the length of the queue, until one side closes."""
    services = of_app(socket.app)
    log = services.served.queue.events
    try:
        services.served.streams.check()
    except Refused:
        await socket.close(1013)
        return
    await socket.accept()
    reader = log.subscribe(services.clients.connected(client))
    gone: asyncio.Task[None] | None = None
    try:
        with services.served.streams.one(), services.served.hub.woken() as changed:
            gone = asyncio.create_task(_read(socket, changed))
            status = services.served.queue.status()
            await socket.send_json(_status(status.running + status.pending, client))
            await _send(services, client, socket, reader, changed, gone)
    except (WebSocketDisconnect, RuntimeError, OSError):
        pass  # the client has closed the connection
    finally:
        services.clients.disconnected(client)
        if gone is not None:
            gone.cancel()


async def _send(
    services: ComfyServices,
    client: str,
    socket: WebSocket,
    reader: Subscription,
    changed: asyncio.Event,
    gone: asyncio.Task[None],
) -> None:
    while not gone.done():
        changed.clear()
        while events := reader.take():
            for event in events:
                if isinstance(event.data, ServerClosing):
                    await socket.close(1012)
                    return
                for message in await run_in_threadpool(_messages, services, client, event):
                    if isinstance(message, bytes):
                        await socket.send_bytes(message)
                    else:
                        await socket.send_text(json.dumps(message))
        await changed.wait()


async def _read(socket: WebSocket, changed: asyncio.Event) -> None:
    """Read and ignore the client's messages until the client closes the connection."""
    try:
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass
    finally:
        changed.set()


def _messages(services: ComfyServices, client: str, event: StreamEvent) -> list[Message]:
    """Convert an event to the messages for a client; empty for runs of other clients."""
    if isinstance(event.data, QueueChanged):
        return [_status(event.data.running + event.data.pending)]
    if event.run is None:
        return []
    try:
        notes = services.notes.of(event.run)
    except GraphError:
        return []
    if notes is None or notes.client not in (None, client):
        return []
    return [*_of_run(services, notes, event)]


def _of_run(services: ComfyServices, notes: Notes, event: StreamEvent) -> Iterator[Message]:
    """Yield the messages for an event of one of the client's runs."""
    data, run = event.data, str(event.run)
    timed = {"prompt_id": run, "timestamp": int(event.ts * 1000)}
    match data:
        case RunStarted():
            yield {"type": "execution_start", "data": timed}
        case RunPlan():
            reused = [notes.node(node) for node, planned in data.nodes.items() if planned.action == "reuse"]
            yield {"type": "execution_cached", "data": {"nodes": list(filter(None, reused)), **timed}}
        case NodeStarted():
            if (node := notes.node(data.path)) is not None:
                yield {"type": "executing", "data": {"node": node, "display_node": node, "prompt_id": run}}
        case NodeProgress():
            progress = {"value": data.value, "max": data.max, "prompt_id": run, "node": notes.node(data.path)}
            yield {"type": "progress", "data": progress}
        case NodePreview():
            shown = services.served.queue.events.preview(data.id) if notes.previews else None
            if shown is not None and shown.media in _FORMATS:
                yield struct.pack(">II", _PREVIEW, _FORMATS[shown.media]) + shown.data
        case RunOutput():
            node = notes.outputs.get(data.output)
            output = {"images": [picture(data.id, data.media)]}
            done = {"node": node, "display_node": node, "output": output, "prompt_id": run}
            yield {"type": "executed", "data": done}
        case RunFinished():
            yield from _end(notes, data, run, timed)


def _end(notes: Notes, data: RunFinished, run: str, timed: dict[str, Any]) -> Iterator[Message]:
    if data.state == "done":
        yield {"type": "execution_success", "data": timed}
    elif data.state == "cancelled":
        stopped = {"node_id": None, "node_type": "", "executed": [], **timed}
        yield {"type": "execution_interrupted", "data": stopped}
    else:
        failed = error_of(notes, None, {"code": data.code, "message": data.message})
        yield {"type": "execution_error", "data": {**timed, **failed}}
    yield {"type": "executing", "data": {"node": None, "prompt_id": run}}


def _status(remaining: int, client: str = "") -> dict[str, Any]:
    data: dict[str, Any] = {"status": {"exec_info": {"queue_remaining": remaining}}}
    return {"type": "status", "data": data | ({"sid": client} if client else {})}
