"""Repeats a computation that ran out of memory, after freeing memory or making the computation smaller."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from engine.devices.memory import DeviceMemory, in_units
from engine.errors import OUT_OF_MEMORY, NodeError, out_of_memory

T = TypeVar("T")

_ASKED = re.compile(r"tried to allocate ([\d.]+) ?(\w+)", re.IGNORECASE)
"""Finds the size of the failed allocation in torch's messages."""


def with_retries(work: Callable[[], T], remedies: Iterator[bool], failed: Callable[[str], NodeError]) -> T:
    """Call `work` and return its result; each time that memory runs out, apply a remedy and call it again.

    Args:
        work: the computation; it may be called several times.
        remedies: an iterator that applies one remedy at each `next`, and yields False if that had no effect.
        failed: makes the error to raise when no remedy is left, from the message of the last exception.

    Raises:
        NodeError: `out_of_memory`: memory ran out after all remedies, too.
    """
    while True:
        try:
            return work()
        except Exception as error:
            if not out_of_memory(error):
                raise
            last = error if isinstance(error, NodeError) else None
            message = str(error)
        # Here, not in the except block: the traceback would keep the tensors of the failed attempt.
        if not next(filter(None, remedies), False):
            raise last or failed(message)


def full(device: str, message: str, memory: DeviceMemory | None, reserved: int, models: int) -> NodeError:
    """Make the error for a step that ran out of memory after all remedies.

    Args:
        device: the device.
        message: the message of torch's exception.
        memory: the memory of the device; None if unknown.
        reserved: the bytes that the step has reserved beside its models; 0 if none.
        models: the bytes of the models that the step uses.
    """
    parts = []
    if (found := _ASKED.search(message)) is not None:
        asked = found[1]
        parts.append(
            f"{in_units(int(asked.split()[0])) if asked.endswith('bytes') else asked} more are needed"
        )
    if reserved:
        parts.append(f"the step takes about {in_units(reserved)}")
    if models:
        parts.append(f"its models take {in_units(models)}")
    if memory is not None:
        parts.append(f"{device} has {in_units(memory.total)}, of which {in_units(memory.free)} are free")
    details = f": {', '.join(parts)}" if parts else ""
    hint = "make the picture or the batch smaller, or close other programs"
    return NodeError(f"the memory of {device} is full{details}", hint=hint, code=OUT_OF_MEMORY)


def free_cached(device: str) -> None:
    """Free unused memory of Python and torch: collect reference cycles, and empty torch's cache."""
    gc.unfreeze()  # importing a library freezes all objects that exist then
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return
    if device.startswith("cuda") and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    elif device == "mps" and torch.backends.mps.is_available():
        torch.mps.empty_cache()
