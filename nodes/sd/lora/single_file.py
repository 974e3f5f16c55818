"""The names of a Stable Diffusion 1 checkpoint in one file, as Stability's own code has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from nodes.sd.lora.keys import original_names

_VAE_RESNET = {"conv_shortcut": "nin_shortcut"}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_VAE_MIDDLE = re.compile(r"(encoder|decoder)\.mid_block\.(resnets|attentions)\.(\d+)\.(.+)")
_VAE_SIDE = re.compile(
    r"(encoder|decoder)\.(down|up)_blocks\.(\d+)\.(resnets|downsamplers|upsamplers)\.(\d+)\.(.+)"
)


def single_file(
    unet: Mapping[str, Tensor], vae: Mapping[str, Tensor], text: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors of a model under the names that one file has for them.

    Args:
        unet: the denoising network's state, by diffusers' names.
        vae: the autoencoder's, likewise.
        text: the CLIP text model's, by transformers' names.
    """
    made: dict[str, Tensor] = {}
    original = original_names(_modules(unet))
    for name, tensor in unet.items():
        module, _, kind = name.rpartition(".")
        made[f"model.diffusion_model.{original[module]}.{kind}"] = tensor
    blocks = 1 + max(int(found[3]) for name in vae if (found := _VAE_SIDE.match(name)))
    for name, tensor in vae.items():
        module, _, kind = name.rpartition(".")
        renamed = _vae_name(module, blocks)
        # Stability's attention is made of 1x1 convolutions.
        is_kernel = ".attn_1." in renamed and tensor.ndim == 2
        made[f"first_stage_model.{renamed}.{kind}"] = tensor[..., None, None] if is_kernel else tensor
    for name, tensor in text.items():
        made[f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}"] = tensor
    return made


def _modules(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.rpartition(".")[0] for name in names))


def _vae_name(module: str, blocks: int) -> str:
    if (found := _VAE_MIDDLE.fullmatch(module)) is not None:
        side, kind, number, inner = found.groups()
        if kind == "attentions":
            return f"{side}.mid.attn_1.{_VAE_ATTENTION[inner]}"
        return f"{side}.mid.block_{int(number) + 1}.{_VAE_RESNET.get(inner, inner)}"
    if (found := _VAE_SIDE.fullmatch(module)) is not None:
        side, way, block, kind, number, inner = found.groups()
        place = f"{side}.{way}.{int(block) if way == 'down' else blocks - 1 - int(block)}"
        if kind == "resnets":
            return f"{place}.block.{number}.{_VAE_RESNET.get(inner, inner)}"
        return f"{place}.{way}sample.{inner}"
    return module.replace("conv_norm_out", "norm_out")
