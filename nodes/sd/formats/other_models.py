"""Recognises unsupported models by the names of their tensors, so that messages can say what they are."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PREFIX = r"(?:model\.diffusion_model\.|diffusion_model\.|model\.|unet\.)?"
"""Prefixes that checkpoints and trainers add to the tensors of a network."""

_OTHERS: dict[str, str] = {
    "an SD 2 unCLIP model": r"embedder\.model\.visual\.|noise_augmentor\.",
    "a Stable Video Diffusion model": r"input_blocks\.1\.0\.time_stack\.",
    "a GLIGEN model": r"(?:.*\.)?position_net\.",
    "a Stable Cascade model": r"(?:clip_txt_mapper|clip_mapper|effnet_mapper\.0)\.",
    "a Chroma model": r"distilled_guidance_layer\.",
    "a HunyuanVideo model": r"txt_in\.individual_token_refiner\.",
    "a FLUX model": r"double_blocks\.0\.img_attn\.|single_transformer_blocks\.0\.proj_mlp\.",
    "an AuraFlow model": r"double_layers\.0\.attn\.w1q\.",
    "a PixArt model": r"t_block\.1\.",
    "a Lumina model": r"cap_embedder\.",
    "a Qwen-Image model": r"transformer_blocks\.0\.img_mod\.",
    "an LTX-Video model": r"patchify_proj\.",
    "a Wan model": r"blocks\.0\.(?:self_attn|cross_attn)\.norm_q\.",
    "an AnimateDiff motion module": r"(?:down_blocks\.0|up_blocks\.1)\.motion_modules\.",
    "an IP-Adapter": r"ip_adapter\.|image_proj\.",
    "a CLIP vision model": r"vision_model\.|visual_projection\.",
}
"""The models in words, each with a regex for the beginning of a tensor name that only its files have, in the
code of its authors or in diffusers. The first match is used."""

_PATTERNS = {noun: re.compile(_PREFIX + f"(?:{pattern})") for noun, pattern in _OTHERS.items()}


def other_model(names: Iterable[str]) -> str | None:
    """Name the unsupported model that has tensors of these names, such as `a FLUX model`; None if unknown."""
    listed = list(names)
    return next((noun for noun, is_its in _PATTERNS.items() if any(map(is_its.match, listed))), None)
