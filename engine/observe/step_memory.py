"""Measures the peak memory of each step, on the host and on the accelerator."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from engine.plan.step import Step
from engine.run.lifecycle import Lifecycle
from engine.store.store import Result

LOOK_SECONDS = 0.005
"""The interval in seconds for sampling the process memory on systems that do not record its peak."""


@dataclass(slots=True)
class StepMemory:
    """The peak memory of one step, in bytes; a number is None if this system does not provide it."""

    host: int | None
    """The peak memory of the whole process while the step ran."""
    rise: int | None
    """The difference between that peak and the memory at the start of the step; includes the memory of steps
    that ran at the same time."""
    device: int | None = None
    """The peak memory of torch on the CUDA device, including models that stay loaded."""

    def most(self, other: StepMemory) -> StepMemory:
        """Combine two measurements: return the maximum of each number."""
        mine, theirs = self.as_json(), other.as_json()
        return StepMemory(
            *(
                max((n for n in pair if n is not None), default=None)
                for pair in zip(mine.values(), theirs.values(), strict=True)
            )
        )

    def as_json(self) -> dict[str, int | None]:
        """Convert the numbers to a JSON object."""
        return {"host": self.host, "rise": self.rise, "device": self.device}


class MemoryMeasurement(Lifecycle):
    """A lifecycle that measures the peak memory of each step. Linux records it; else a thread samples it.

    Args:
        device: the device of accelerator nodes.
        all_steps: False to measure only the steps of accelerator nodes; the others then cost nothing.
    """

    def __init__(self, device: str, *, all_steps: bool = True) -> None:
        self.memory: dict[str, StepMemory] = {}
        """The peak memory of each step that ran, keyed by the step's id."""
        self.resident = _resident()
        """A function that returns the physical memory of this process in bytes; None if unknown."""
        self._device, self._all_steps = device, all_steps
        self._kernel = _forget_peak()
        self._under_way: dict[str, tuple[int, StepMemory]] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._watcher: threading.Thread | None = None

    def close(self) -> None:
        """Stop the thread that samples the memory."""
        self._over.set()
        if self._watcher is not None:
            self._watcher.join()

    def setup(self, step: Step, inputs: Mapping[str, object]) -> Result | None:
        """Begin to measure a step."""
        if not (self._all_steps or step.needs_device):
            return None
        if step.needs_device and (cuda := _cuda(self._device)) is not None:
            cuda.reset_peak_memory_stats(self._device)
        with self._lock:
            self._note()
            if self._kernel:
                _forget_peak()
            held = self.resident()
            self._under_way[step.id] = held or 0, StepMemory(held, None if held is None else 0)
            if not self._kernel and held is not None and self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="safelight-memory", daemon=True)
                self._watcher.start()
        return None

    def teardown(self, step: Step, inputs: Mapping[str, object], result: Result | None) -> None:
        """Record the memory of a step."""
        if not (self._all_steps or step.needs_device):
            return
        with self._lock:
            self._note()
            _, memory = self._under_way.pop(step.id)
        # If this step imported torch, torch's peak is that of the step.
        if step.needs_device and (cuda := _cuda(self._device)) is not None:
            memory.device = cuda.max_memory_allocated(self._device)
        before = self.memory.get(step.id)  # of a node that returned a graph, or ran twice
        self.memory[step.id] = memory if before is None else memory.most(before)

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            with self._lock:
                self._note()

    def _note(self) -> None:
        """Update the peaks of the running steps with the memory that was used since the last sample."""
        held = _peak() if self._kernel else self.resident()
        if held is None:
            return
        for began, memory in self._under_way.values():
            if memory.host is None or held > memory.host:
                memory.host, memory.rise = held, held - began


def _forget_peak() -> bool:
    """Reset the peak memory that Linux records for this process. Returns False on other systems."""
    try:
        with open("/proc/self/clear_refs", "wb", buffering=0) as file:
            file.write(b"5")
        return _peak() is not None
    except OSError:
        return False


def _peak() -> int | None:
    """Read the peak physical memory of this process since the last reset, in bytes; None if unknown."""
    with open("/proc/self/status", "rb") as file:
        found = next((line for line in file if line.startswith(b"VmHWM:")), None)
    return None if found is None else int(found.split()[1]) << 10


def _resident() -> Callable[[], int | None]:
    """Make a function that reads the physical memory of this process, in bytes."""
    try:
        _from_proc()
    except (OSError, ValueError, AttributeError):
        return _resident_elsewhere()
    return _from_proc


def _from_proc() -> int:
    with open("/proc/self/statm", "rb", buffering=0) as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _resident_elsewhere() -> Callable[[], int | None]:
    """Make such a function for systems without `/proc`, by means of psutil."""
    try:
        process = import_module("psutil").Process()
    except ImportError:
        return lambda: None
    return lambda: int(process.memory_info().rss)


def _cuda(device: str) -> Any:
    """Return `torch.cuda` if torch is imported and uses the device; otherwise None."""
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda") or not torch.cuda.is_initialized():
        return None
    return torch.cuda
