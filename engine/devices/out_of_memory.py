"""Repeats a computation that ran out of memory, after making more room for it or making it smaller."""

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
"""The bytes that could not be allocated, in the messages of torch."""


def with_retries(work: Callable[[], T], remedies: Iterator[bool], failed: Callable[[str], NodeError]) -> T:
    """Call `work`; each time that memory runs out, apply the next remedy and call it again.

    Args:
        work: the computation; it may be called several times.
        remedies: each step of the iteration applies one remedy, and returns whether it has any effect.
        failed: makes the error when no remedy is left, from the message of the last failure.

    Raises:
        NodeError: `out_of_memory`: the memory does not suffice with all remedies.
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
    """The error for a step that ran out of memory with every remedy.

    Args:
        device: the device.
        message: the message of torch's error.
        memory: the memory of the device, if it is known.
        reserved: the bytes that the step has reserved besides its models; 0 if it has not.
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
    """Free the memory that Python and torch hold unused: reference cycles, and torch's cache."""
    gc.unfreeze()  # importing a library freezes all objects that exist then
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return
    if device.startswith("cuda") and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    elif device == "mps" and torch.backends.mps.is_available():
        torch.mps.empty_cache()
