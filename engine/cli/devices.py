"""`safelight devices`: shows the devices, the settings in effect, and the models that a server has loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.cli import request, say
from engine.cli.request import AsJson, Device, Home
from engine.errors import GraphError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from engine.devices.report import DevicesReport

ANSWER_SECONDS = 10.0
"""The seconds that a server of the same home may take to answer."""


def devices(home: Home = None, device: Device = None, json: AsJson = False) -> int:
    """Show the devices, their memory, the settings in effect, and the models that a server has loaded."""
    from engine.devices.report import all_devices

    with request.session(home, device) as session:
        here = session.devices_report(all_devices(session.device))
        workers = _workers(session.settings.home)
    if json:
        served = None if workers is None else [worker.as_json() for worker in workers]
        say.as_json({**here.as_json(), "workers": served})
        return 0
    from rich.text import Text

    from engine.cli.tables import show

    show(_devices(here), _settings(here))
    if workers is None:
        show(Text("no server of this home runs, so no models are loaded"))
    for worker in workers or ():
        lead = f"worker {worker.pid} on {worker.device}"
        if worker.models:
            show(Text(f"{lead}:"), _models(worker))
        else:
            show(Text(f"{lead} has no models loaded"))
    return 0


def _workers(home: Path) -> list[DevicesReport] | None:
    """Ask the server of a home folder for the devices of its workers; None if no server answers."""
    from engine.client import Client
    from engine.devices.report import DevicesReport
    from engine.server.address_file import server_of

    known = server_of(home)
    if known is None:
        return None
    try:
        with Client(*known, timeout=ANSWER_SECONDS) as server:
            return [DevicesReport.from_json(worker) for worker in server.devices()]
    except GraphError:
        return None


def _devices(report: DevicesReport) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    from engine.devices.memory import in_units

    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("device")
    for name in ("memory", "free", "for models"):
        table.add_column(name, justify="right")
    table.add_column("hardware", overflow="fold")
    for row in report.devices:
        used = row.device == report.device
        sizes = ["unknown" if size is None else in_units(size) for size in (row.total, row.free, row.budget)]
        device = Text(f"{row.device} (in use)" if used else row.device, style="bold cyan" if used else "")
        table.add_row(device, *sizes, Text(say.line(row.name)))
    return table


def _settings(report: DevicesReport) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table("setting", "in effect", box=SIMPLE, pad_edge=False)
    for name, value in report.settings.items():
        table.add_row(name, str(value).lower() if isinstance(value, bool) else str(value))
    return table


def _models(report: DevicesReport) -> Table:
    import time

    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    from engine.devices.memory import in_units
    from engine.explain.reasons import ago

    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("model", overflow="fold")
    table.add_column("device")
    table.add_column("bytes", justify="right")
    table.add_column("last use")
    now = time.time()
    for row in report.models:
        used = "in use" if row.in_use else ago(now - row.last_use)
        table.add_row(Text(say.line(row.model)), row.device, in_units(row.bytes), used)
    return table
