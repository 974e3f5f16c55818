"""Reads the total and the free memory of a device."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

_MEMINFO = Path("/proc/meminfo")
_CGROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)
"""The files in which Linux reports a container's memory limit and use: cgroups of version 2 and 1."""


class DeviceMemory(NamedTuple):
    """The total and the free memory of a device, in bytes."""

    total: int
    free: int


def device_memory(device: str) -> DeviceMemory | None:
    """Return the total and the free memory of a device; None if unknown.

    torch is not imported here, so the memory of an accelerator is unknown until a node has imported torch.

    Args:
        device: `cpu`, `cuda`, `cuda:1` or `mps`.
    """
    kind = device.partition(":")[0]
    if kind == "cpu":
        return _host()
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return None
    if kind == "cuda" and torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return DeviceMemory(total, free + cached)  # torch reuses what it has cached
    if kind == "mps" and torch.backends.mps.is_available():
        total = torch.mps.recommended_max_memory()
        return DeviceMemory(total, max(0, total - torch.mps.driver_allocated_memory()))
    return None


def _host() -> DeviceMemory | None:
    """Return the memory of this machine, or of the container in which this process runs; None if unknown."""
    found = _from_meminfo() or _from_sysconf()
    if found is None:
        return None
    for limit, used in _CGROUPS:
        try:
            most, now = int(limit.read_text()), int(used.read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue
        if most < found.total:
            return DeviceMemory(most, min(found.free, max(0, most - now)))
    return found


def _from_meminfo() -> DeviceMemory | None:
    """Read the memory from Linux's `/proc/meminfo`; the file cache that can be freed counts as free."""
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        total, free = (int(lines[name].split()[0]) << 10 for name in ("MemTotal", "MemAvailable"))
    except (OSError, ValueError, KeyError, IndexError):
        return None
    return DeviceMemory(total, free)


def _from_sysconf() -> DeviceMemory | None:
    """Return the memory of other POSIX systems. They do not report the free memory, so all counts as free."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
    return DeviceMemory(total, total)


def in_units(size: float) -> str:
    """Format a number of bytes for people: `3.5 GiB`, `512 MiB` or `12 KiB`."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB")):
        if size >= unit:
            return f"{size / unit:,.1f} {name}" if size < 10 * unit else f"{size / unit:,.0f} {name}"
    return f"{size / 1024:.0f} KiB"
