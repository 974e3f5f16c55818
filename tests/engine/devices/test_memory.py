"""The memory of the host, of a container, and of an accelerator, as Linux and torch tell it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.devices import memory
from engine.devices.memory import DeviceMemory, device_memory, in_units

GIB = 2**30


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of a machine with 8 GiB, of which 5 are available, and no container."""
    (tmp_path / "meminfo").write_text(f"MemTotal: {8 << 20} kB\nMemFree: 1 kB\nMemAvailable: {5 << 20} kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUPS", ((tmp_path / "max", tmp_path / "current"),))
    return tmp_path


def test_the_memory_of_this_machine_is_what_the_system_tells() -> None:
    told = device_memory("cpu")
    assert told is not None
    assert 0 < told.free <= told.total <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (None, DeviceMemory(8 * GIB, 5 * GIB)),
        ("max", DeviceMemory(8 * GIB, 5 * GIB)),
        (str(2**63 - 4096), DeviceMemory(8 * GIB, 5 * GIB)),
        (str(4 * GIB), DeviceMemory(4 * GIB, 3 * GIB)),
    ],
)
def test_a_container_has_no_more_than_its_limit(
    host: Path, limit: str | None, expected: DeviceMemory
) -> None:
    if limit is not None:
        (host / "max").write_text(f"{limit}\n")
        (host / "current").write_text(f"{GIB}\n")
    assert device_memory("cpu") == expected


def test_what_torch_has_cached_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = SimpleNamespace(
        is_available=lambda: True,
        mem_get_info=lambda device: (2 * GIB, 8 * GIB),
        memory_reserved=lambda device: 5 * GIB,
        memory_allocated=lambda device: 4 * GIB,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert device_memory("cuda:1") == DeviceMemory(8 * GIB, 3 * GIB)
    monkeypatch.delitem(sys.modules, "torch")
    assert device_memory("cuda:1") is None, "torch is not imported to answer"


@pytest.mark.parametrize(
    ("size", "text"),
    [(3.5 * GIB, "3.5 GiB"), (3814 * GIB, "3,814 GiB"), (300 << 20, "300 MiB"), (12 << 10, "12 KiB")],
)
def test_bytes_are_written_in_the_unit_that_fits(size: float, text: str) -> None:
    assert in_units(size) == text
