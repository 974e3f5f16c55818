"""Information about the server: version, limits, devices, and metrics for Prometheus."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from engine.devices.report import DevicesReport
from engine.queue.snapshot import DeviceStatus
from engine.server.services import Served

router = APIRouter(tags=["server"])
metrics_router = APIRouter(tags=["server"])


class Sizes(BaseModel):
    """The limits for requests: body and upload size in bytes, and the number of waiting runs."""

    json_bytes: int
    blob_bytes: int
    max_queued: int


class Info(BaseModel):
    """The server: its version, devices and limits."""

    version: str
    api: int
    server_id: str
    """Changes with each start of the server; the ids of events begin with it."""
    devices: list[DeviceStatus]
    paused: str | None
    """The reason why the queue starts no runs; null if it is not paused."""
    limits: Sizes
    opened: str | None
    """The id of the graph file that `safelight serve` was started with; null if none."""


@router.get("/info")
def read_info(served: Served) -> Info:
    """Read the version, the devices and the limits of the server."""
    status = served.queue.status()
    return Info(
        version=version("safelight"),
        api=1,
        server_id=served.queue.events.server_id,
        devices=list(status.devices),
        paused=status.paused,
        limits=Sizes(
            json_bytes=served.limits.json_bytes,
            blob_bytes=served.limits.blob_bytes,
            max_queued=served.queue.limits.max_queued,
        ),
        opened=served.graphs.opened,
    )


class DeviceList(BaseModel):
    """The devices of each worker process."""

    workers: list[DevicesReport]


@router.get("/devices")
def list_devices(served: Served) -> DeviceList:
    """List the devices of the workers: memory, settings in effect, and loaded models."""
    return DeviceList(workers=served.queue.devices())


@metrics_router.get("/metrics", response_class=PlainTextResponse)
def read_metrics_page(served: Served) -> PlainTextResponse:
    """Read the state of the queue in the text format of Prometheus."""
    status = served.queue.status()
    busy = sum(1 for device in status.devices if device.run is not None)
    numbers = {
        "safelight_runs_queued": status.pending,
        "safelight_runs_running": status.running,
        "safelight_queue_paused": int(status.paused is not None),
        "safelight_devices": len(status.devices),
        "safelight_devices_busy": busy,
        "safelight_event_readers": served.streams.count,
        "safelight_events_published": served.queue.events.seq,
    }
    lines = [f"# TYPE {name} gauge\n{name} {number}\n" for name, number in numbers.items()]
    return PlainTextResponse("".join(lines))
