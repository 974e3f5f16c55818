"""Loads the networks of a model. Only known classes are built, and files are checked before they are read."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from importlib import import_module
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn

from engine.errors import out_of_memory
from nodes.sd.families.family import Component, Family
from nodes.sd.formats.json_file import ModelError
from nodes.sd.hypernetworks import network
from nodes.sd.hypernetworks.network import LoadedHypernetwork
from nodes.sd.lora import stack
from nodes.sd.lora.patched import shallow_copy
from nodes.sd.lora.stack import WeightedLora
from nodes.sd.models.clip import ClipConfig, ClipTextModel, ClipTextModelWithProjection
from nodes.sd.models.configs import network_class
from nodes.sd.models.files import ModelFiles
from nodes.sd.models.stored import read_network

_Builder = Callable[[Mapping[str, Any]], nn.Module]
"""Builds a network with new weights from its config."""

_T5_CONFIG = (
    "vocab_size",
    "d_model",
    "d_kv",
    "d_ff",
    "num_layers",
    "num_heads",
    "relative_attention_num_buckets",
    "relative_attention_max_distance",
    "layer_norm_epsilon",
    "feed_forward_proj",
    "pad_token_id",
    "eos_token_id",
)
"""The config keys of T5 that are used. Others are ignored, because some of them load code."""


def load_unet(files: ModelFiles, dtype: torch.dtype = torch.float32) -> Any:
    """Load the UNet or transformer to the CPU, in eval mode, frozen.

    Raises:
        ModelError: the weights are damaged, do not fit the config, or contain NaN or infinity.
    """
    return _load(files, files.family.network.component, dtype)


def load_vae(files: ModelFiles, dtype: torch.dtype = torch.float32) -> AutoencoderKL:
    """Load the VAE to the CPU, in eval mode, frozen.

    Raises:
        ModelError: as `load_unet`.
    """
    return _load(files, "vae", dtype)


def load_text_encoder(
    files: ModelFiles, dtype: torch.dtype = torch.float32, component: Component = "text_encoder"
) -> Any:
    """Load a text encoder (CLIP or T5) to the CPU, in eval mode, frozen.

    Raises:
        ModelError: as `load_unet`.
    """
    return _load(files, component, dtype)


def patched_unet(
    unet: nn.Module,
    part: Component,
    loras: Sequence[WeightedLora],
    hypernetworks: Sequence[tuple[float, LoadedHypernetwork]],
) -> tuple[nn.Module, int]:
    """Apply LoRAs and hypernetworks to a copy of a UNet or transformer.

    Args:
        unet: the network, which is not changed.
        part: its name in the diffusers layout.
        loras: the LoRAs, in order of application.
        hypernetworks: the hypernetworks with their strengths. They are always applied after the LoRAs, since
            they are inserted before layers that LoRAs may change.

    Returns:
        the copy, and the bytes that it does not share with the given network.

    Raises:
        ModelError: a LoRA does not fit the network.
    """
    result, changed = stack.apply(unet, part, loras)
    result, added = network.apply(result, hypernetworks)
    return result, changed + added


def patched_unet_size(
    unet: nn.Module,
    part: Component,
    loras: Sequence[WeightedLora],
    hypernetworks: Sequence[tuple[float, LoadedHypernetwork]],
) -> int:
    """Compute the bytes that `patched_unet` takes in addition to the given network.

    Raises:
        ModelError: a LoRA does not fit the network.
    """
    return stack.added_bytes(unet, part, loras) + network.added_bytes(unet, hypernetworks)


def loaded_size(files: ModelFiles, part: Component, dtype: torch.dtype) -> int:
    """Compute the bytes of a network's weights in a precision, from its config.

    Raises:
        ModelError: the config does not describe a network.
    """
    return sum(map(math.prod, tensor_shapes(files, part).values())) * dtype.itemsize


def tensor_shapes(files: ModelFiles, part: Component) -> dict[str, tuple[int, ...]]:
    """Compute the shapes of a network's tensors, by their names in diffusers; no weights are read.

    Raises:
        ModelError: the config does not describe a network.
    """
    return _shapes(_empty(files, part))


def _load(files: ModelFiles, part: Component, dtype: torch.dtype) -> Any:
    empty = _empty(files, part)
    tensors = read_network(files.networks[part], _shapes(empty), part, dtype)
    return _filled(empty, dict(tensors), "", {})


def _filled(empty: nn.Module, tensors: Mapping[str, Tensor], prefix: str, made: dict[int, Any]) -> Any:
    """Copy a network, with tensors in place of its empty ones.

    `load_state_dict` would need a deep copy, which takes as long as reading the weights of a large network.

    Args:
        empty: the network, or a module inside it; it is not changed.
        tensors: the tensors by their names in the whole network.
        prefix: the name of the module in the whole network, with a dot at the end.
        made: the copies made so far, by the `id` of the original.
    """
    if id(empty) in made:
        return made[id(empty)]
    result = made[id(empty)] = shallow_copy(empty)
    for name, parameter in result._parameters.items():
        if parameter is not None:
            result._parameters[name] = nn.Parameter(tensors[prefix + name], requires_grad=False)
    for name in result._buffers:
        if prefix + name in tensors:
            result._buffers[name] = tensors[prefix + name]
    for name, child in result._modules.items():
        if child is not None:
            result._modules[name] = _filled(child, tensors, f"{prefix}{name}.", made)
    return result


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _empty(files: ModelFiles, part: Component) -> nn.Module:
    """Return a network on the meta device, whose tensors have only shapes.

    It is cached and shared, so it must not be changed.
    """
    try:
        return _built(_builder(files.family, part), json.dumps(files.configs[part]))
    except Exception as error:  # a constructor may raise anything for a strange config
        if out_of_memory(error):
            raise
        place = files.networks[part].config_place
        raise ModelError(f"{place} does not describe a {part}: {error}") from None


@lru_cache(maxsize=16)
def _built(builder: _Builder, config: str) -> nn.Module:
    """Build a network on the meta device, in eval mode, frozen."""
    with torch.device("meta"):
        return builder(json.loads(config)).eval().requires_grad_(False)


def build(family: Family, part: Component, config: Mapping[str, Any]) -> nn.Module:
    """Build a network of a family with new weights; the family, not the config, determines its class."""
    return _builder(family, part)(config)


def _builder(family: Family, part: Component) -> _Builder:
    if part == family.network.component:
        return _diffusers(family.network.module, family.network.kind)
    return _BUILDERS[network_class(family, part)]


@cache
def _diffusers(module: str, kind: str) -> _Builder:
    """Return a function that builds a network of diffusers from the config keys that its class knows."""
    network: type[nn.Module] = getattr(import_module(module), kind)
    parameters = inspect.signature(network.__init__).parameters
    return lambda config: network(**{key: value for key, value in config.items() if key in parameters})


def _t5(config: Mapping[str, Any]) -> nn.Module:
    from transformers.models.t5.configuration_t5 import T5Config
    from transformers.models.t5.modeling_t5 import T5EncoderModel

    encoder: nn.Module = T5EncoderModel(T5Config(**{key: config[key] for key in _T5_CONFIG if key in config}))
    return encoder


_BUILDERS: dict[str, _Builder] = {
    "AutoencoderKL": _diffusers("diffusers.models.autoencoders.autoencoder_kl", "AutoencoderKL"),
    "CLIPTextModel": lambda config: ClipTextModel(ClipConfig.of(config)),
    "CLIPTextModelWithProjection": lambda config: ClipTextModelWithProjection(ClipConfig.of(config)),
    "T5EncoderModel": _t5,
}
"""Builders of the VAE and the text encoders by class; the family selects one."""
