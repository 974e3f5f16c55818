"""Loads the networks of a model: allowed classes only, checked against the headers of its files."""

from __future__ import annotations

import base64
import copy
import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import nn
from transformers.models.clip.configuration_clip import CLIPTextConfig
from transformers.models.clip.modeling_clip import CLIPTextModel, CLIPTextModelWithProjection
from transformers.models.clip.tokenization_clip import CLIPTokenizer

from engine.errors import out_of_memory
from nodes.sd.families.family import Component, EncoderRole, Family
from nodes.sd.formats.json_file import ModelError, read_object, read_text
from nodes.sd.hypernetworks import network
from nodes.sd.hypernetworks.network import LoadedHypernetwork
from nodes.sd.lora import stack
from nodes.sd.lora.stack import WeightedLora
from nodes.sd.models.configs import network_class
from nodes.sd.models.files import ModelFiles
from nodes.sd.models.folder import tokenizer_files
from nodes.sd.models.stored import read_network

_VOCABULARY_LIMIT = 32 << 20

_Builder = Callable[[Mapping[str, Any]], nn.Module]
"""Builds a network with new weights from its config."""

_TEXT_CONFIG = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "projection_dim",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
    "hidden_act",
    "layer_norm_eps",
    "attention_dropout",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)
"""The config keys of CLIP that are used. Others are ignored, because some of them load code."""

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
"""The config keys of T5 that are used."""


def load_unet(files: ModelFiles, dtype: torch.dtype = torch.float32) -> Any:
    """The network that removes noise, in eval mode, frozen, on the CPU: a UNet, or a transformer.

    Raises:
        ModelError: the weights are damaged, do not fit the config, or contain NaN or infinity.
    """
    return _load(files, files.family.network.component, dtype)


def load_vae(files: ModelFiles, dtype: torch.dtype = torch.float32) -> AutoencoderKL:
    """The VAE, in eval mode, frozen, on the CPU.

    Raises:
        ModelError: as `load_unet`.
    """
    return _load(files, "vae", dtype)


def load_text_encoder(
    files: ModelFiles, dtype: torch.dtype = torch.float32, component: Component = "text_encoder"
) -> Any:
    """A text encoder (CLIP or T5), in eval mode, frozen, on the CPU.

    Raises:
        ModelError: as `load_unet`.
    """
    encoder = _load(files, component, dtype)
    if network_class(files.family, component) == "T5EncoderModel":
        return encoder
    positions = encoder.config.max_position_embeddings
    embeddings = getattr(encoder, "text_model", encoder).embeddings
    embeddings.position_ids = torch.arange(positions).expand((1, -1))
    return encoder


def patched_unet(
    unet: nn.Module,
    part: Component,
    loras: Sequence[WeightedLora],
    hypernetworks: Sequence[tuple[float, LoadedHypernetwork]],
) -> tuple[nn.Module, int]:
    """Apply LoRAs and hypernetworks to a UNet or transformer; returns the copy and the bytes that it does not
    share.

    Args:
        unet: the network, which is not changed.
        part: its name in the diffusers layout.
        loras: the LoRAs, in order of application.
        hypernetworks: with their strengths. They come after the LoRAs, whatever order a graph has, since they
            stand before layers that LoRAs may change.

    Raises:
        ModelError: a LoRA does not fit it.
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
    """The bytes that `patched_unet` takes beside those of the given UNet.

    Raises:
        ModelError: a LoRA does not fit it.
    """
    return stack.added_bytes(unet, part, loras) + network.added_bytes(unet, hypernetworks)


def loaded_size(files: ModelFiles, part: Component, dtype: torch.dtype) -> int:
    """The bytes of a network's weights in a precision, computed from its config.

    Raises:
        ModelError: the config does not describe a network.
    """
    return sum(map(math.prod, tensor_shapes(files, part).values())) * dtype.itemsize


def tensor_shapes(files: ModelFiles, part: Component) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors of a network, by their names in diffusers; no weights are read.

    Raises:
        ModelError: the config does not describe a network.
    """
    return _shapes(_empty(files, part))


def load_tokenizer(files: ModelFiles, role: EncoderRole | None = None) -> Any:
    """A CLIP or T5 tokenizer, built from its vocabulary. No code and no pattern is read from its folder.

    Args:
        files: the model.
        role: the text encoder that it belongs to; None for the model's first.

    Raises:
        ModelError: the vocabulary is damaged, or holds more tokens than the text encoder knows.
    """
    role = role or files.family.roles[0]
    folder = files.tokenizers[role.tokenizer]
    names = tokenizer_files(folder, role)
    place = folder / names[0]
    try:
        if role.name == "t5":
            return _t5_tokenizer(place, files.configs[role.component]["vocab_size"])
        vocabulary, merges, added = _vocabulary(folder, names)
        tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)
        for token, number in sorted(added.items(), key=lambda item: item[1]):
            if token in vocabulary:
                continue
            if number != len(tokenizer):
                raise ModelError(f"{place}: the added tokens do not follow on the vocabulary. Save it again.")
            tokenizer.add_tokens(token)
        if role.pad is not None:
            tokenizer.pad_token = tokenizer.convert_ids_to_tokens(role.pad)
    except ModelError:
        raise
    except MemoryError:
        raise
    except Exception:  # the tokenizers library raises plain Exception for a vocabulary it cannot use
        kind = "T5" if role.name == "t5" else "CLIP"
        message = f"{place} is not the vocabulary of a {kind} tokenizer. Download it again."
        raise ModelError(message) from None
    _check_vocabulary(place, len(tokenizer), files.configs[role.component]["vocab_size"])
    return tokenizer


def _check_vocabulary(place: Path, tokens: int, known: int) -> None:
    if tokens > known:
        raise ModelError(f"{place} has {tokens:,} tokens, the text encoder {known:,}. They do not match.")


def _t5_tokenizer(place: Path, known: int) -> Any:
    """A T5 tokenizer from the pieces, scores and table of characters in its `tokenizer.json`."""
    from transformers.models.t5.tokenization_t5 import T5Tokenizer

    whole = json.loads(read_text(place, _VOCABULARY_LIMIT))
    pieces = [(str(piece), float(score)) for piece, score in whole["model"]["vocab"]]
    _check_vocabulary(place, len(pieces), known)
    normalizer = whole.get("normalizer") or {}
    tables = [
        one["precompiled_charsmap"]
        for one in normalizer.get("normalizers", [normalizer])
        if one.get("type") == "Precompiled"
    ]
    return T5Tokenizer(
        vocab=pieces,
        extra_ids=sum(piece.startswith("<extra_id_") for piece, _ in pieces),
        _spm_precompiled_charsmap=base64.b64decode(tables[0]) if tables else None,
    )


def _vocabulary(
    root: Path, names: tuple[str, ...]
) -> tuple[dict[str, int], list[tuple[str, str]], dict[str, int]]:
    if len(names) == 1:
        whole = json.loads(read_text(root / names[0], _VOCABULARY_LIMIT))
        model = whole["model"]
        pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
        added = {token["content"]: token["id"] for token in whole.get("added_tokens", [])}
        return model["vocab"], [(first, second) for first, second in pairs], added
    lines = read_text(root / names[1], _VOCABULARY_LIMIT).split("\n")
    merges = [tuple(line.split()) for line in islice(lines, 1, None) if line.strip()]
    added = read_object(root / names[2]) if len(names) == 3 else {}
    return (
        json.loads(read_text(root / names[0], _VOCABULARY_LIMIT)),
        [(first, second) for first, second in merges],
        added,
    )


def _load(files: ModelFiles, part: Component, dtype: torch.dtype) -> Any:
    empty = _empty(files, part)
    tensors = read_network(files.networks[part], _shapes(empty), part, dtype)
    model = copy.deepcopy(empty)
    model.load_state_dict(dict(tensors), assign=True)
    return model.eval().requires_grad_(False)


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _empty(files: ModelFiles, part: Component) -> nn.Module:
    """A network on the meta device: its tensors have shapes only. It is shared, so it must not be changed."""
    try:
        return _built(_builder(files.family, part), json.dumps(files.configs[part]))
    except Exception as error:  # a constructor may raise anything for a strange config
        if out_of_memory(error):
            raise
        place = files.networks[part].config_place
        raise ModelError(f"{place} does not describe a {part}: {error}") from None


@lru_cache(maxsize=16)
def _built(builder: _Builder, config: str) -> nn.Module:
    """Build a network on the meta device. Copying it takes half of the time of building it."""
    with torch.device("meta"):
        return builder(json.loads(config))


def build(family: Family, part: Component, config: Mapping[str, Any]) -> nn.Module:
    """Build a network of a family with new weights; the family, not the config, determines its class."""
    return _builder(family, part)(config)


def _builder(family: Family, part: Component) -> _Builder:
    if part == family.network.component:
        return _diffusers(family.network.module, family.network.kind)
    return _BUILDERS[network_class(family, part)]


@cache
def _diffusers(module: str, kind: str) -> _Builder:
    """The builder of a network of diffusers from the config keys that its class knows."""
    network: type[nn.Module] = getattr(import_module(module), kind)
    parameters = inspect.signature(network.__init__).parameters
    return lambda config: network(**{key: value for key, value in config.items() if key in parameters})


def _t5(config: Mapping[str, Any]) -> nn.Module:
    from transformers.models.t5.configuration_t5 import T5Config
    from transformers.models.t5.modeling_t5 import T5EncoderModel

    encoder: nn.Module = T5EncoderModel(T5Config(**{key: config[key] for key in _T5_CONFIG if key in config}))
    return encoder


def _text_config(config: Mapping[str, Any]) -> CLIPTextConfig:
    return CLIPTextConfig(**{key: config[key] for key in _TEXT_CONFIG if key in config})


_BUILDERS: dict[str, _Builder] = {
    "AutoencoderKL": _diffusers("diffusers.models.autoencoders.autoencoder_kl", "AutoencoderKL"),
    "CLIPTextModel": lambda config: CLIPTextModel(_text_config(config)),
    "CLIPTextModelWithProjection": lambda config: CLIPTextModelWithProjection(_text_config(config)),
    "T5EncoderModel": _t5,
}
"""Builders of the VAE and the text encoders by class; the family selects one."""
