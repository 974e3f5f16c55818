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
    """A device; sizes are in bytes, and None if the system does not tell them."""

    device: str
    """Its name in the settings: `cpu`, `cuda:1`, `mps`."""
    name: str
    """The name of the hardware; empty if unknown."""
    total: int | None
    """The memory of the device; of the host, if it is `cpu`."""
    free: int | None
    budget: int
    """The most bytes that models keep there while no step uses them."""
    loaded: int
    """The bytes of the loaded models."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A loaded model."""

    device: str
    """The device whose memory it takes."""
    model: str
    """The network and its file."""
    bytes: int
    """Its bytes, without those that it shares with a model of another row."""
    in_use: bool
    """True if a step uses it now."""
    last_use: float
    """In seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class DevicesReport:
    """The devices of one process."""

    pid: int
    device: str
    """The device that nodes compute on."""
    settings: Mapping[str, Any]
    """The compute settings in effect, by their names in `settings.json`; none is `auto`."""
    devices: tuple[DeviceRow, ...]
    models: tuple[LoadedModel, ...]
    """The loaded models, least recently used first."""

    def as_json(self) -> dict[str, Any]:
        """This report as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> DevicesReport:
        """Restore a report from its JSON."""
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
        devices: further devices to describe, besides the host and the one that nodes compute on.
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
    """The devices of this machine: the host, and the accelerators that torch can use.

    Args:
        device: the device that nodes compute on; torch is imported only if it is an accelerator.
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
    """The name of the processor, and its number of cores."""
    name = platform.processor()
    try:
        lines = _CPUINFO.read_text(errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass
    cores = os.cpu_count()
    return f"{name or platform.machine()}, {cores} cores" if cores else name
