"""Moves networks to the device, with the precision, the attention and the compilation of the settings."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any, TypeVar

import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0, SlicedAttnProcessor
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import nn

from engine.devices.compute import ComputeSettings
from engine.errors import NodeError, out_of_memory
from nodes.sd.models.files import ModelFiles

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
        load: reads the network of a model, in a precision, on the CPU.
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
    try:
        network = network.to(torch.device(compute.device))
    except (RuntimeError, AssertionError) as error:
        if out_of_memory(error):
            raise
        hint = "choose another, such as --device cpu"
        message = f"the device {compute.device} cannot be used: {error}"
        raise NodeError(message, hint=hint, code="bad_device") from None
    return network, sum(tensor.nbytes for tensor in chain(network.parameters(), network.buffers()))


def compiled(network: N, compute: ComputeSettings) -> N:
    """Return the network, with its forward pass compiled before its first use if the settings request it."""
    if compute.compile:
        network.compile()
    return network
