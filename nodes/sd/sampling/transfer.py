"""Copies tensors from the host to a device without making the host wait."""

from __future__ import annotations

import torch
from torch import Tensor


def sent(values: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Copy a tensor to a device, in a dtype; return the same object if nothing has to change.

    A copy from ordinary memory to a CUDA device ends only when all work that was given to the device before
    is done. A copy from pinned memory waits in the device's queue instead, behind that work.
    """
    if device.type == "cpu" or values.device.type != "cpu":
        return values.to(device, dtype)
    converted = values.to(dtype)
    if device.type == "cuda":
        converted = converted.pin_memory()
    # On MPS the host would be free to change the memory before it is copied.
    return converted.to(device, non_blocking=device.type != "mps")
