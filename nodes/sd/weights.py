"""Models out of a folder: built from an allow-list, filled from safetensors, checked before they are used."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers.models.clip.configuration_clip import CLIPTextConfig
from transformers.models.clip.modeling_clip import CLIPTextModel
from transformers.models.clip.tokenization_clip import CLIPTokenizer

from nodes.sd import hypernetwork
from nodes.sd.folder import Component, ModelFolder, tokenizer_files
from nodes.sd.hypernetwork_patch import HypernetworkPatch
from nodes.sd.json_file import ModelError, parse_object, read_object, read_text, regular_size
from nodes.sd.lora import stack
from nodes.sd.lora.patch import LoraPatch

_HEADER_LIMIT = 16 << 20
_VOCABULARY_LIMIT = 32 << 20
_ITEM_SIZE = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}
"""Bytes of one number, by the names safetensors gives to what SD 1 weights are kept in."""

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
"""What a text encoder is built from. All else a config may say stays unread: some keys make code load."""

_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""What the first diffusers releases, and with them most SD 1 VAEs on disk, call the attention's layers."""


def load_unet(folder: ModelFolder, dtype: torch.dtype = torch.float32) -> UNet2DConditionModel:
    """The denoising network, in eval mode, frozen, on the CPU.

    Raises:
        ModelError: the weights are damaged, do not fit the config, or hold NaN or infinity.
    """
    return _load(
        folder, "unet", dtype, lambda config: UNet2DConditionModel(**_known(UNet2DConditionModel, config))
    )


def load_vae(folder: ModelFolder, dtype: torch.dtype = torch.float32) -> AutoencoderKL:
    """The autoencoder between pictures and latents, in eval mode, frozen, on the CPU.

    Raises:
        ModelError: as `load_unet`.
    """
    return _load(folder, "vae", dtype, lambda config: AutoencoderKL(**_known(AutoencoderKL, config)))


def load_text_encoder(folder: ModelFolder, dtype: torch.dtype = torch.float32) -> CLIPTextModel:
    """The CLIP text model, in eval mode, frozen, on the CPU.

    Raises:
        ModelError: as `load_unet`.
    """

    def build(config: dict[str, Any]) -> CLIPTextModel:
        return CLIPTextModel(CLIPTextConfig(**{key: config[key] for key in _TEXT_CONFIG if key in config}))

    encoder = _load(folder, "text_encoder", dtype, build)
    positions = encoder.config.max_position_embeddings
    encoder.embeddings.position_ids = torch.arange(positions).expand((1, -1))
    return encoder


def patched_unet(
    unet: UNet2DConditionModel, patches: Sequence[tuple[LoraPatch | HypernetworkPatch, Any]]
) -> tuple[UNet2DConditionModel, int]:
    """A UNet with LoRAs and hypernetworks over it, and the bytes of its own tensors; the given one stays.

    Args:
        unet: shares with the result every tensor that nothing changes.
        patches: what lies over it and what its file holds, the first one first. Hypernetworks come last,
            since they stand before layers that LoRAs may change.

    Raises:
        ModelError: a LoRA does not fit it.
    """
    loras = [(patch, loaded) for patch, loaded in patches if isinstance(patch, LoraPatch)]
    result, size = stack.apply(unet, "unet", loras) if loras else (unet, 0)
    chain = [(patch.strength, loaded) for patch, loaded in patches if isinstance(patch, HypernetworkPatch)]
    return (hypernetwork.apply(result, chain), size) if chain else (result, size)


def patched_text_encoder(
    encoder: CLIPTextModel, patches: Sequence[tuple[LoraPatch, Any]]
) -> tuple[CLIPTextModel, int]:
    """A text encoder with LoRAs over it, and the bytes of its own tensors; the given one stays as it is.

    Raises:
        ModelError: a LoRA does not fit it.
    """
    return stack.apply(encoder, "text_encoder", patches)


def tensor_shapes(folder: ModelFolder, part: Component) -> dict[str, tuple[int, ...]]:
    """The tensors of a part by their present names, and their shapes; no weights are read.

    Raises:
        ModelError: the file is damaged.
    """
    path = folder.path / folder.weights[part]
    try:
        with safe_open(path, framework="pt") as file:
            named = ((_renamed(part, stored), stored) for stored in file.keys())
            return {name: tuple(file.get_slice(stored).get_shape()) for name, stored in named if name}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a sound safetensors file: {error}. Download it again.") from None


def load_tokenizer(folder: ModelFolder) -> CLIPTokenizer:
    """The CLIP tokenizer, built from the vocabulary alone; no code and no pattern comes from the folder.

    Raises:
        ModelError: the vocabulary is damaged, or holds more tokens than the text encoder knows.
    """
    names = tokenizer_files(folder.path)
    place = folder.path / names[0]
    try:
        vocabulary, merges, added = _vocabulary(folder.path, names)
        tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)
        for token, number in sorted(added.items(), key=lambda item: item[1]):
            if token in vocabulary:
                continue
            if number != len(tokenizer):
                raise ModelError(f"{place}: the added tokens do not follow on the vocabulary. Save it again.")
            tokenizer.add_tokens(token)
    except ModelError:
        raise
    except Exception:  # the tokenizers library raises plain Exception for a vocabulary it cannot use
        raise ModelError(f"{place} is not the vocabulary of a CLIP tokenizer. Download it again.") from None
    known = read_object(folder.path / "text_encoder" / "config.json")["vocab_size"]
    if len(tokenizer) > known:
        raise ModelError(
            f"{place} has {len(tokenizer):,} tokens, the text encoder {known:,}. They do not match."
        )
    return tokenizer


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


def _load(
    folder: ModelFolder, part: Component, dtype: torch.dtype, build: Callable[[dict[str, Any]], Any]
) -> Any:
    place = folder.path / part / "config.json"
    weights = folder.path / folder.weights[part]
    with torch.device("meta"):
        try:
            model: nn.Module = build(read_object(place))
        except ModelError:
            raise
        except Exception as error:  # whatever a constructor makes of a config it does not understand
            raise ModelError(f"{place} does not describe a {part}: {error}") from None
    names = _check_header(weights, part, {name: tuple(t.shape) for name, t in model.state_dict().items()})
    model.load_state_dict(dict(_read(weights, names, dtype)), assign=True)
    return model.eval().requires_grad_(False)


def _known(model: type[nn.Module], config: dict[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(model.__init__).parameters
    return {key: value for key, value in config.items() if key in parameters}


def _check_header(path: Path, part: Component, shapes: dict[str, tuple[int, ...]]) -> dict[str, str]:
    """Which tensor of the file fills which of the model, before any of them is read."""
    size = regular_size(path)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _HEADER_LIMIT):
            raise ModelError(f"{path} is cut short or is not a safetensors file. Download it again.")
        head = file.read(length)
    try:
        header = parse_object(head.decode("utf-8"), f"The header of {path}")
    except UnicodeDecodeError:
        raise ModelError(f"The header of {path} is not text. Download it again.") from None
    header.pop("__metadata__", None)

    names: dict[str, str] = {}
    end = 0
    for stored, entry in header.items():
        name = _renamed(part, stored)
        if name is None:
            continue
        try:
            shape, (start, stop) = tuple(entry["shape"]), entry["data_offsets"]
            held = _ITEM_SIZE[entry["dtype"]]
            for side in shape:
                held *= side
            agrees = stop - start == held
        except (KeyError, TypeError, ValueError):
            agrees = False
        if not agrees:
            raise ModelError(f"{path}: the tensor {stored[:200]!r} is malformed or of an unknown type.")
        if name not in shapes:
            raise ModelError(
                f"{path} holds {stored[:200]!r}, which this {part} does not have: another model's file."
            )
        if shape != shapes[name]:
            raise ModelError(
                f"{path}: {stored!r} has shape {list(shape)}, config.json asks for {list(shapes[name])}."
                " The file and the config come from different models."
            )
        if name in names:
            raise ModelError(
                f"{path} holds {name!r} twice, under an old and a new name. Save the model again."
            )
        names[name] = stored
        end = max(end, stop)
    if missing := [name for name in shapes if name not in names]:
        raise ModelError(f"{path} lacks {len(missing)} of {len(shapes)} tensors, {missing[0]!r} first.")
    if size < 8 + length + end:
        raise ModelError(f"{path} ends {8 + length + end - size:,} bytes early. Download it again.")
    return names


def _renamed(part: Component, name: str) -> str | None:
    """The present name of a tensor; None for what older releases kept beside the weights."""
    if part == "text_encoder":
        name = name.removeprefix("text_model.")
        return None if name == "embeddings.position_ids" else name
    if part == "vae" and ".attentions." in name:
        layer, _, kind = name.rpartition(".")
        block, _, last = layer.rpartition(".")
        return f"{block}.{_OLD_ATTENTION.get(last, last)}.{kind}"
    return name


def _read(path: Path, names: dict[str, str], dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            for name, stored in names.items():
                tensor = file.get_tensor(stored).to(dtype)
                if not torch.isfinite(tensor).all():
                    raise ModelError(
                        f"{path}: {stored!r} holds NaN or infinity in {dtype}. Download it again."
                    )
                yield name, tensor
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a sound safetensors file: {error}. Download it again.") from None
