"""Memory for many new tensors at once: page by page, it would cost more than what is computed into it."""

from __future__ import annotations

import mmap
from collections.abc import Mapping

import torch
from torch import Tensor

_PAGE = 2 << 20
"""Bytes of a huge page; where there is none of that size, nothing is lost."""
_LEAST = 8 * _PAGE
_ALIGNED = 64
"""Bytes that torch aligns tensors to, too, so that vector code does the same everywhere."""


def alike(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """New tensors of the shapes, dtypes and devices of some others, of any content, laid out row by row.

    Those on the CPU share one piece of memory, which is given back when the last of them is gone.
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
    """So many bytes in huge pages; None where the system has no way to ask for them."""
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
