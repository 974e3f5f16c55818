"""Loads the networks of Stable Diffusion and moves them to the device in one piece.

It applies the precision, the attention and the compilation of the settings. With `offload` or a storage
dtype, `placement.py` places copies instead. The recipes of ControlNets, upscale models and BLIP move these
models in their `load`; hypernetworks are moved with their UNet. `engine/devices/residency.py` decides when.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0, SlicedAttnProcessor
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import nn

from engine.devices.compute import ComputeSettings
from engine.errors import NodeError, out_of_memory
from nodes.sd.models.files import ModelFiles
from nodes.sd.models.placement import nbytes

N = TypeVar("N", bound=nn.Module)

_ATTENTION: dict[str, Callable[[], Any]] = {
    "sdpa": AttnProcessor2_0,
    "sliced": lambda: SlicedAttnProcessor(1),
    "plain": AttnProcessor,
}


def load_to_device(
    load: Callable[[ModelFiles, torch.dtype], N],
    files: ModelFiles,
    compute: ComputeSettings,
    dtype: torch.dtype | None = None,
) -> tuple[N, int]:
    """Load a network and move it to the device.

    Args:
        load: loads a network of the model to the CPU, in a precision.
        files: the files of the model.
        compute: the device, the precision and the attention.
        dtype: the precision, if it differs from that of `compute`.

    Returns:
        the network and the bytes that it takes on the device.

    Raises:
        NodeError: torch cannot use the device.
        ModelError: as `load`.
    """
    network = load(files, dtype or getattr(torch, compute.dtype))
    if isinstance(network, UNet2DConditionModel | AutoencoderKL):
        network.set_attn_processor(_ATTENTION[compute.attention]())
    if isinstance(network, AutoencoderKL):
        network.use_slicing = compute.vae_slicing
    try:
        network = _channels_last(network.to(torch.device(compute.device)), compute)
    except (RuntimeError, AssertionError) as error:
        if out_of_memory(error):
            raise
        hint = "choose another, such as --device cpu"
        message = f"the device {compute.device} cannot be used: {error}"
        raise NodeError(message, hint=hint, code="bad_device") from None
    return network, nbytes(network)


def prepared(network: N, compute: ComputeSettings) -> N:
    """Apply the memory format and the compilation of the settings to a UNet or transformer."""
    network = _channels_last(network, compute)
    if compute.compile == "whole":
        network.compile()
    elif compute.compile == "blocks":
        _compile_blocks(network)
    return network


def _channels_last(network: N, compute: ComputeSettings) -> N:
    """Store the weights of convolutions with the channels last, if the settings say so."""
    if not compute.channels_last:
        return network
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _compile_blocks(network: nn.Module) -> None:
    """Compile the blocks that a network repeats; a block that two networks share is compiled once.

    diffusers names the classes of these blocks for most networks. Of others, blocks in lists are compiled.
    """
    named = getattr(network, "_repeated_blocks", None) or ()
    in_lists = {
        id(block) for blocks in network.children() if isinstance(blocks, nn.ModuleList) for block in blocks
    }
    for module in network.modules():
        repeats = type(module).__name__ in named if named else id(module) in in_lists
        if repeats and module._compiled_call_impl is None:
            module.compile()
