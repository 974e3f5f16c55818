"""Allocates many tensors at once in huge pages, since page faults would take longer than the computation."""

from __future__ import annotations

import mmap
import weakref
from collections.abc import Mapping

import torch
from torch import Tensor

_PAGE = 2 << 20
"""The size of a huge page in bytes. On systems with other page sizes, this only wastes a little memory."""
_LEAST = 8 * _PAGE
_ALIGNED = 64
"""The alignment of tensors in bytes, the same as torch's, so that results do not depend on it."""
_spare: list[mmap.mmap] = []
"""At most one block that no tensor uses. The system takes its pages when it needs them (`MADV_FREE`)."""


def empty_like(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Allocate uninitialised tensors with the shapes, dtypes and devices of given ones, contiguous.

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
    """Allocate a block of bytes in huge pages; None if the system does not offer them.

    It reuses the block that was freed last, if that is large enough: clearing new pages takes about as long
    as copying weights into them.
    """
    if not hasattr(mmap, "MADV_HUGEPAGE") or not hasattr(mmap, "MADV_FREE"):
        return None
    try:
        pages = _spare.pop()
    except IndexError:
        pages = None
    if pages is None or len(pages) < size + _PAGE:
        del pages  # before the new block is created, so that both do not exist at once
        try:
            pages = mmap.mmap(-1, size + _PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            pages.madvise(mmap.MADV_HUGEPAGE)
        except OSError:
            return None
    view = memoryview(pages)  # every tensor in the block holds it
    weakref.finalize(view, _free, pages).atexit = False
    flat = torch.frombuffer(view, dtype=torch.uint8)
    start = -flat.data_ptr() % _PAGE
    return flat[start : start + size]


def _free(pages: mmap.mmap) -> None:
    """Allow the system to reclaim the pages of a block, and keep the block for the next `_huge`."""
    pages.madvise(mmap.MADV_FREE)
    _spare[:] = [pages]
