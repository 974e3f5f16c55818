"""Describes the devices of a process: their memory, the settings in effect, and the loaded models."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.devices.compute import ComputeSettings
from engine.devices.memory import device_memory
from engine.devices.residency import Residency

_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device and its memory. Sizes are in bytes; None if unknown."""

    device: str
    """The name of the device in the settings: `cpu`, `cuda:1`, `mps`."""
    name: str
    """The name of the hardware; empty if unknown."""
    total: int | None
    """The total memory of the device; for `cpu`, that of the machine."""
    free: int | None
    budget: int
    """The maximum size of the models that stay loaded on the device while no step uses them."""
    loaded: int
    """The size of the loaded models."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that is loaded on a device."""

    device: str
    """The device whose memory the model takes."""
    model: str
    """The name of the network and of its file."""
    bytes: int
    """The size of the model in bytes, without tensors that it shares with another model in the list."""
    in_use: bool
    """True if a step is using the model now."""
    last_use: float
    """The time of the last use, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class DevicesReport:
    """The devices of one process, with their settings and loaded models."""

    pid: int
    device: str
    """The device that nodes compute on."""
    settings: Mapping[str, Any]
    """The compute settings in effect, keyed by their names in `settings.json`; none is `auto`."""
    devices: tuple[DeviceRow, ...]
    models: tuple[LoadedModel, ...]
    """The loaded models, least recently used first."""

    def as_json(self) -> dict[str, Any]:
        """Convert this report to JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> DevicesReport:
        """Restore a report from the JSON of `as_json`."""
        return cls(
            int(tree["pid"]),
            str(tree["device"]),
            dict(tree["settings"]),
            tuple(DeviceRow(**row) for row in tree["devices"]),
            tuple(LoadedModel(**row) for row in tree["models"]),
        )


def devices_report(
    compute: ComputeSettings, residency: Residency, devices: Iterable[str] = ()
) -> DevicesReport:
    """Describe the devices of this process.

    Args:
        compute: the compute settings.
        residency: the loaded models.
        devices: more devices to describe, besides the host and the one that nodes compute on.
    """
    rows = residency.ledger()
    names = dict.fromkeys([compute.device, "cpu", *devices])
    loaded = {name: sum(row.size for row in rows if row.device == name) for name in names}
    return DevicesReport(
        os.getpid(),
        compute.device,
        _in_words(compute),
        tuple(_row(name, residency.budget(name), loaded[name]) for name in names),
        tuple(LoadedModel(row.device, row.label, row.size, row.pinned, row.last_use) for row in rows),
    )


def all_devices(device: str) -> list[str]:
    """Return the names of all devices of this machine: the host, and the accelerators that torch can use.

    Args:
        device: the device that nodes compute on. If it is `cpu`, torch is not imported, and only the host is
            returned.
    """
    if device == "cpu":
        return ["cpu"]
    import torch

    numbered = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    found = ["cpu", *(numbered[1:] if device == "cuda" else numbered)]  # the first one is also called cuda
    return [*found, "mps"] if torch.backends.mps.is_available() else found


def _in_words(compute: ComputeSettings) -> dict[str, Any]:
    settings = asdict(compute)
    settings["storage_dtype"] = compute.storage_dtype or compute.dtype
    return settings


def _row(device: str, budget: int, loaded: int) -> DeviceRow:
    memory = device_memory(device)
    total, free = (None, None) if memory is None else memory
    return DeviceRow(device, _hardware(device), total, free, budget, loaded)


def _hardware(device: str) -> str:
    if device == "cpu":
        return _processor()
    torch: Any = sys.modules.get("torch")
    if torch is not None and device.startswith("cuda") and torch.cuda.is_available():
        return str(torch.cuda.get_device_name(device))
    return platform.processor() if device == "mps" else ""


def _processor() -> str:
    """Return the name of the processor, with its number of cores."""
    name = platform.processor()
    try:
        lines = _CPUINFO.read_text(errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass
    cores = os.cpu_count()
    return f"{name or platform.machine()}, {cores} cores" if cores else name
