"""Recognises and reads a ControlNet in a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import out_of_memory
from nodes.sd.controlnets.keys import PREFIX, in_original_code
from nodes.sd.families.key_tables import own_names
from nodes.sd.families.known import families
from nodes.sd.formats.json_file import ModelError, read_object

if TYPE_CHECKING:
    import torch
    from diffusers.models.controlnets.controlnet import ControlNetModel

    from nodes.sd.families.family import Shapes
    from nodes.sd.formats.tensors import Tensors

CLASS = "ControlNetModel"
_COPIED = (
    "addition_embed_type",
    "addition_time_embed_dim",
    "attention_head_dim",
    "block_out_channels",
    "cross_attention_dim",
    "down_block_types",
    "layers_per_block",
    "projection_class_embeddings_input_dim",
    "transformer_layers_per_block",
    "use_linear_projection",
)
"""The settings that a ControlNet shares with the UNet of its family."""
_HINT_BLOCKS = ("input_hint_block.0.weight", "controlnet_cond_embedding.conv_in.weight")
_RELATIVES = {
    "a union ControlNet": r"task_embedding$|control_add_embedding\.",
    "a ControlNet that changes another checkpoint's weights (difference)": r"difference$",
    "a ControlNet LoRA": r"lora_controlnet$",
    "a ControlNet-LLLite": r"lllite_",
    "a T2I-Adapter": r"(adapter\.)?body\.\d+\.(in_conv|block1|resnets)\.|(adapter\.)?body\.\d+\.body\.",
    "an IP-Adapter": r"image_proj\.|ip_adapter\.",
    "a ControlNet of FLUX.1 or SD 3": r"(controlnet_)?(transformer_blocks|double_blocks|joint_blocks)\.",
    "a ControlNet for videos": r".*motion_modules\.",
}
"""Unsupported networks with the same purpose as ControlNets, each with a regex for its tensor names."""


def relative(names: list[str]) -> str | None:
    """Recognise an unsupported relative of ControlNets by its tensor names.

    Returns its kind with an article, such as `a T2I-Adapter`; None for any other network.
    """
    bare = [name.removeprefix(PREFIX) for name in names]
    return next(
        (noun for noun, mark in _RELATIVES.items() if any(re.match(mark, name) for name in bare)), None
    )


def is_controlnet(names: list[str]) -> bool:
    """Return whether tensors of these names include the layers that read the hint picture.

    Only ControlNets have these layers.
    """
    return any(name.removeprefix(PREFIX) in _HINT_BLOCKS for name in names)


def config_of(tensors: Tensors) -> dict[str, Any]:
    """Derive the config of a ControlNet from its tensors, in the form of diffusers' `config.json`.

    The model family is recognised by the widths of the text embeddings and vectors that the ControlNet reads.

    Raises:
        ModelError: no known family has a UNet with these widths.
    """
    shapes = {name: entry.shape for name, entry in tensors.entries.items()}
    context = _columns(shapes, "attn2.to_k.weight")
    added = _columns(shapes, "label_emb.0.0.weight") or _columns(shapes, "add_embedding.linear_1.weight")
    with_unet = [family for family in families() if family.network.is_unet]
    for family in with_unet:
        unet = read_object(family.configs / "unet.json")
        if (unet.get("cross_attention_dim"), unet.get("projection_class_embeddings_input_dim")) == (
            context,
            added,
        ):
            return {"_class_name": CLASS, **{name: unet[name] for name in _COPIED if name in unet}}
    reads = f"text embeddings of width {context}" if context else "no text embeddings"
    titles = ", ".join(family.title for family in with_unet)
    raise ModelError(
        f"{tensors.path} reads {reads}{f' and vectors of width {added}' if added else ''}. In single files,"
        f" Safelight knows the ControlNets of {titles}. Use a folder with a config.json."
    )


def _columns(shapes: Shapes, ending: str) -> int | None:
    """Return the number of columns of the first matrix whose name has this ending; None if there is none.

    Tensors of a checkpoint in the same file are skipped.
    """
    widths = (
        shape[1]
        for name, shape in shapes.items()
        if name.endswith(ending) and len(shape) == 2 and not name.startswith("model.diffusion_model.")
    )
    return next(widths, None)


def block_count(config: Mapping[str, Any]) -> int:
    """Return the number of UNet outputs that a ControlNet adds to: 13 for SD 1 and SD 2, 10 for SDXL.

    These are the outputs of the UNet's first half, and the output of its middle block.
    """
    stages = len(config.get("down_block_types", range(4)))
    return 1 + stages * int(config.get("layers_per_block", 2)) + (stages - 1) + 1


def read_controlnet(path: Path, config: Mapping[str, Any], dtype: torch.dtype) -> ControlNetModel:
    """Load a ControlNet to the CPU, in eval mode, frozen.

    Args:
        path: a file in the layout of diffusers or of the original code; no code in it is executed.
        config: the config in the form of diffusers.
        dtype: the precision.

    Raises:
        ModelError: the config does not describe a ControlNet, or the file is damaged or does not fit it.
    """
    import torch
    from diffusers.models.controlnets.controlnet import ControlNetModel

    from nodes.sd.formats.read import read_tensors
    from nodes.sd.models.files import StoredNetwork
    from nodes.sd.models.stored import read_network

    try:
        with torch.device("meta"):
            network: ControlNetModel = ControlNetModel.from_config(dict(config))
    except Exception as error:  # a constructor may raise anything for a strange config
        if out_of_memory(error):
            raise
        raise ModelError(f"The config of {path} does not describe a ControlNet: {error}") from None
    names = list(read_tensors(path).entries)
    prefix = PREFIX if any(name.startswith(PREFIX) for name in names) else ""
    original = f"{prefix}{_HINT_BLOCKS[0]}" in names
    stored = StoredNetwork((path,), prefix, in_original_code if original else own_names, "its config")
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    network.load_state_dict(dict(read_network(stored, shapes, "controlnet", dtype)), assign=True)
    return network.eval().requires_grad_(False)
