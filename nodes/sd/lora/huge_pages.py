"""Allocates many tensors at once in huge pages, since page faults would take longer than computing them."""

from __future__ import annotations

import mmap
from collections.abc import Mapping

import torch
from torch import Tensor

_PAGE = 2 << 20
"""The size of a huge page in bytes. On systems with other page sizes, this only wastes a little memory."""
_LEAST = 8 * _PAGE
_ALIGNED = 64
"""The alignment of tensors in bytes, the same as torch's, so that results do not depend on it."""


def empty_like(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """New uninitialised tensors with the shapes, dtypes and devices of given ones, contiguous.

    Tensors on the CPU share one block of memory, which is freed with the last of them.
    """
    on_cpu = {name: tensor for name, tensor in tensors.items() if tensor.device.type == "cpu"}
    places = {}
    whole = 0
    for name, tensor in on_cpu.items():
        places[name] = whole
        whole += -(-tensor.nbytes // _ALIGNED) * _ALIGNED
    memory = _huge(whole) if whole >= _LEAST else None
    if memory is None:
        return {
            name: torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)
            for name, tensor in tensors.items()
        }
    made = {}
    for name, tensor in tensors.items():
        if name in places:
            piece = memory[places[name] : places[name] + tensor.nbytes]
            made[name] = piece.view(tensor.dtype).view(tensor.shape)
        else:
            made[name] = torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)
    return made


def _huge(size: int) -> Tensor | None:
    """A block of bytes in huge pages; None if the system does not offer them."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return None
    try:
        pages = mmap.mmap(-1, size + _PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        pages.madvise(mmap.MADV_HUGEPAGE)
    except OSError:
        return None
    flat = torch.frombuffer(pages, dtype=torch.uint8)
    start = -flat.data_ptr() % _PAGE
    return flat[start : start + size]
