"""The key map: maps every key name that a tool may write to a module of the model.

The map is made from the model's own module names. Keys from a file are only looked up: they cannot be parsed,
because an underscore may stand for a dot or for itself, and no attribute path from a file is followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Part = Literal["unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"]
"""A network of a model, by the name of its folder in the diffusers layout."""


@dataclass(frozen=True)
class Target:
    """One module of a model that a LoRA may change."""

    part: Part
    module: str
    """The path of the module in diffusers or transformers."""


_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_INSIDE = re.compile(
    r"(down|mid|up)_block(?:s\.(\d+))?\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)"
)
_PROJECTION = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out.0"}
"""The names of a text encoder's attention projections in old diffusers LoRAs."""


def original_names(modules: Iterable[str]) -> dict[str, str]:
    """Map the names of a UNet's modules in diffusers to those in Stability's code.

    Single-file checkpoints and kohya's LoRAs for SDXL use these names, such as `input_blocks.4.1.proj_in`.
    """
    modules = list(modules)
    layers = 1 + max(
        (int(found[1]) for name in modules if (found := re.match(r"down_blocks\.0\.resnets\.(\d+)\.", name))),
        default=0,
    )
    with_attention = {name.split(".attentions.")[0] for name in modules if ".attentions." in name}
    names = {}
    for name in modules:
        if name in _OUTSIDE:
            names[name] = _OUTSIDE[name]
        elif (found := _INSIDE.fullmatch(name)) is not None:
            side, block, kind, number, inner = found.groups()
            place = _place(side, int(block or 0), kind, int(number), layers, with_attention)
            inner = _RESNET.get(inner, inner) if kind == "resnets" else inner
            inner = "op" if kind == "downsamplers" else inner
            names[name] = f"{place}.{inner}"
    return names


def _place(side: str, block: int, kind: str, number: int, layers: int, with_attention: set[str]) -> str:
    inner = 1 if kind == "attentions" else 0
    if side == "mid":
        return f"middle_block.{1 if inner else 2 * number}"
    first = block * (layers + 1)
    if side == "down":
        after = layers if kind == "downsamplers" else number
        return f"input_blocks.{1 + first + after}.{inner}"
    if kind == "upsamplers":
        return f"output_blocks.{first + layers}.{2 if f'up_blocks.{block}' in with_attention else 1}"
    return f"output_blocks.{first + number}.{inner}"


def key_map(modules: Mapping[Part, Iterable[str]]) -> dict[str, Target]:
    """Map every key prefix that a tool may write to the module that it refers to.

    Args:
        modules: the paths of the modules with weights, by part. If the model has one text encoder, the prefix
            `lora_te1_` refers to it.
    """
    table: dict[str, Target] = {}
    for part, given in modules.items():
        names = list(given)
        original = original_names(names) if part == "unet" else {}
        for name in names:
            target = Target(part, name)
            if part in ("unet", "transformer"):
                spellings = _network_spellings(part, name, original.get(name))
            else:
                spellings = _text_spellings(part, name)
            for spelling in spellings:
                table.setdefault(spelling, target)
    return table


def _network_spellings(part: Part, name: str, original: str | None) -> Iterable[str]:
    for path in filter(None, (name, original)):
        flat = path.replace(".", "_")
        yield from (f"lora_unet_{flat}", f"oft_unet_{flat}", f"lycoris_{flat}")
        yield from (f"{part}.{path}", path, f"base_model.model.{path}", f"base_model.model.{part}.{path}")
        yield f"diffusion_model.{path}"
        if part == "transformer":
            yield f"lora_transformer_{flat}"  # OneTrainer


_KOHYA = {
    "text_encoder": ("lora_te_", "lora_te1_"),
    "text_encoder_2": ("lora_te2_",),
    "text_encoder_3": ("lora_te3_",),
}
T5 = "encoder.block."
"""The beginning of the names of T5's layers: the second text encoder of FLUX.1, the third of SD 3."""
_COMFY = {"text_encoder": "clip_l", "text_encoder_2": "clip_g", "text_encoder_3": "t5xxl"}


def _text_spellings(part: Part, name: str) -> Iterable[str]:
    bare = name.removeprefix("text_model.")
    head, _, last = bare.rpartition(".")
    paths = [bare, f"text_model.{bare}"]  # transformers 5 dropped the level `text_model`
    if last in _PROJECTION and head.endswith("self_attn"):
        paths += [f"{path.removesuffix(last)}{_PROJECTION[last]}" for path in tuple(paths)]
    is_t5 = name.startswith(T5)
    prefixes = dict.fromkeys((*_KOHYA[part], *(_KOHYA["text_encoder_3"] if is_t5 else ())))
    comfy = _COMFY["text_encoder_3" if is_t5 else part]
    for path in paths:
        flat = path.replace(".", "_")
        yield from (prefix + flat for prefix in prefixes)
        yield from (f"{part}.{path}", f"{comfy}.transformer.{path}", f"{comfy}.{path}")
        yield f"text_encoders.{comfy}.transformer.{path}"
        if part == "text_encoder":
            yield from (path, f"base_model.model.{path}", f"base_model.model.text_encoder.{path}")
            yield f"lycoris_{flat}"
        else:
            yield f"base_model.model.{part}.{path}"
