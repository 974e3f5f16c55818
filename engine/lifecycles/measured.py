"""Measures how much memory each step takes at its peak, the machine's and the accelerator's."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from engine.store.store import Result

if TYPE_CHECKING:
    from engine.step import Step

LOOK_SECONDS = 0.005
"""How often the memory of this process is looked at where the system keeps no peak of it."""


@dataclass(slots=True)
class Memory:
    """The memory of one step, in bytes; None for what this machine does not tell."""

    host: int | None
    """The most that the whole process held while the step was under way."""
    rise: int | None
    """How much more that is than when it began; of steps side by side, each counts what the others took."""
    device: int | None = None
    """The most that torch held on a CUDA device, models that stay loaded included; steps on it run one at a
    time."""

    def most(self, other: Memory) -> Memory:
        """The larger figure of each kind."""
        mine, theirs = self.as_json(), other.as_json()
        return Memory(
            *(
                max((n for n in pair if n is not None), default=None)
                for pair in zip(mine.values(), theirs.values(), strict=True)
            )
        )

    def as_json(self) -> dict[str, int | None]:
        """The figures by name."""
        return {"host": self.host, "rise": self.rise, "device": self.device}


class Measured:
    """A lifecycle that knows the peak of each step: Linux keeps it; elsewhere a thread looks again and again.

    Args:
        device: what accelerator nodes compute on.
    """

    def __init__(self, device: str) -> None:
        self.memory: dict[str, Memory] = {}
        """The memory of each step that ran, by its id."""
        self.resident = _resident()
        """Says how many bytes of physical memory this process holds now; None if nobody knows."""
        self._device = device
        self._kernel = _forget_peak()
        self._under_way: dict[str, tuple[int, Memory]] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._watcher: threading.Thread | None = None

    def close(self) -> None:
        """Look no more."""
        self._over.set()
        if self._watcher is not None:
            self._watcher.join()

    def setup(self, step: Step, inputs: Mapping[str, object]) -> Result | None:
        """Begin to look."""
        if step.lane and (cuda := _cuda(self._device)) is not None:
            cuda.reset_peak_memory_stats(self._device)
        with self._lock:
            self._note()
            if self._kernel:
                _forget_peak()
            held = self.resident()
            self._under_way[step.id] = held or 0, Memory(held, None if held is None else 0)
            if not self._kernel and held is not None and self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="safelight-memory", daemon=True)
                self._watcher.start()
        return None

    def teardown(self, step: Step, inputs: Mapping[str, object], result: Result | None) -> None:
        """Look once more, and keep the figures."""
        with self._lock:
            self._note()
            _, memory = self._under_way.pop(step.id)
        # Where torch was imported by this step itself, its peak since then is the peak of this step.
        if step.lane and (cuda := _cuda(self._device)) is not None:
            memory.device = cuda.max_memory_allocated(self._device)
        before = self.memory.get(step.id)  # of a node that returned a graph, or that had to be done again
        self.memory[step.id] = memory if before is None else memory.most(before)

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            with self._lock:
                self._note()

    def _note(self) -> None:
        """Raise the peaks of the steps under way to what was held since somebody looked last."""
        held = _peak() if self._kernel else self.resident()
        if held is None:
            return
        for began, memory in self._under_way.values():
            if memory.host is None or held > memory.host:
                memory.host, memory.rise = held, held - began


def _forget_peak() -> bool:
    """Have Linux count this process's peak from now on; False if it does not."""
    try:
        with open("/proc/self/clear_refs", "wb", buffering=0) as file:
            file.write(b"5")
        return _peak() is not None
    except OSError:
        return False


def _peak() -> int | None:
    """The most bytes of physical memory that this process held since its peak was forgotten."""
    with open("/proc/self/status", "rb") as file:
        found = next((line for line in file if line.startswith(b"VmHWM:")), None)
    return None if found is None else int(found.split()[1]) << 10


def _resident() -> Callable[[], int | None]:
    """What says how many bytes of physical memory this process holds now."""
    try:
        _from_proc()
    except (OSError, ValueError, AttributeError):
        return _resident_elsewhere()
    return _from_proc


def _from_proc() -> int:
    with open("/proc/self/statm", "rb", buffering=0) as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _resident_elsewhere() -> Callable[[], int | None]:
    """The same where there is no `/proc`: psutil knows, if it is installed."""
    try:
        process = import_module("psutil").Process()
    except ImportError:
        return lambda: None
    return lambda: int(process.memory_info().rss)


def _cuda(device: str) -> Any:
    """The part of torch that counts the memory of this device, once somebody has imported and used it."""
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda") or not torch.cuda.is_initialized():
        return None
    return torch.cuda
