"""Places copies of networks on the device: in one piece, block by block, or with weights of 8 bits.

diffusers' group offloading and layerwise casting change modules in place. Therefore they are applied to a
copy, and the original (master), from which patched copies are made, is not changed.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from engine.devices.compute import ComputeSettings
from nodes.sd.lora.patched import shared_copy

N = TypeVar("N", bound=nn.Module)

_COMPUTES_IN = "_safelight_computes_in"
"""The attribute of a placed network that `like` returns."""


def placed(network: N, compute: ComputeSettings) -> tuple[N, int]:
    """Return a copy of a network that computes on the device.

    Args:
        network: the network on the CPU, in the precision that it computes in; it is not changed.
        compute: the device, the precision of the weights, and what is offloaded.

    Returns:
        the copy, and the bytes that it does not share with `network`. They are on the device, or on the CPU
        if `offload` is `blocks`.
    """
    master = like(network)
    made = _own_tensors(network)
    if compute.storage_dtype:
        storage = getattr(torch, compute.storage_dtype)
        made.enable_layerwise_casting(storage_dtype=storage, compute_dtype=master.dtype)  # type: ignore[operator]
    device = torch.device(compute.device)
    if compute.offload == "blocks":
        from diffusers.hooks.group_offloading import apply_group_offloading

        apply_group_offloading(
            made,
            onload_device=device,
            offload_device=torch.device("cpu"),
            offload_type="block_level",
            num_blocks_per_group=1,
            use_stream=device.type == "cuda",
        )
    else:
        made = made.to(device)
    made.__dict__[_COMPUTES_IN] = torch.empty(0, dtype=master.dtype, device=device)
    if not compute.storage_dtype and compute.offload == "blocks":
        return made, 0
    _unshare(made, network)
    return made, nbytes(made)


def like(network: nn.Module) -> Tensor:
    """Return an empty tensor with the dtype and the device that a network computes in.

    The weights of a placed network may be elsewhere, or in another precision.
    """
    found: Any = network.__dict__.get(_COMPUTES_IN)
    if found is None:
        found = next(network.parameters())
    return torch.empty(0, dtype=found.dtype, device=found.device)


def nbytes(network: nn.Module) -> int:
    """Return the bytes of a network's tensors."""
    return sum(tensor.nbytes for tensor in chain(network.parameters(), network.buffers()))


def _own_tensors(network: N) -> N:
    """Copy the modules of a network; the tensors are new objects that share its memory."""
    made = shared_copy(network, [name for name, _ in network.named_modules() if name])
    for module in made.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(parameter.data, requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = buffer.detach()
    return made


def _unshare(network: nn.Module, master: nn.Module) -> None:
    """Copy the tensors whose memory a network still shares with its master."""
    held = {tensor.data_ptr() for tensor in chain(master.parameters(), master.buffers())}
    for tensor in chain(network.parameters(), network.buffers()):
        if tensor.data_ptr() in held:
            tensor.data = tensor.data.clone()
