"""Recognises unsupported models by the names of their tensors, so that messages can say what they are."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PREFIX = r"(?:model\.diffusion_model\.|diffusion_model\.|model\.|unet\.)?"
"""Prefixes that checkpoints and trainers add to the tensors of a network."""

_OTHERS: dict[str, str] = {
    "an SD 2 unCLIP model": r"embedder\.model\.visual\.|noise_augmentor\.",
    "a Stable Video Diffusion model": r"input_blocks\.1\.0\.time_stack\.",
    "a GLIGEN model": r"(?:.*\.)?position_net\.",
    "a Stable Cascade model": r"(?:clip_txt_mapper|clip_mapper|effnet_mapper\.0)\.",
    "a Chroma model": r"distilled_guidance_layer\.",
    "a FLUX.2 model": r"double_stream_modulation_img\.",
    "a FLUX.1 Redux model": r"redux_(?:up|down)\.",
    "a HunyuanVideo model": r"txt_in\.individual_token_refiner\.",
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

_FLUX = re.compile(_PREFIX + r"(?:double_blocks\.0\.img_attn\.|single_transformer_blocks\.0\.proj_mlp\.)")
_FLUX_FIRST = re.compile(_PREFIX + r"(?:img_in|x_embedder)\.weight")
_FLUX_CHANNELS = {384: "a FLUX.1 Fill model", 128: "a FLUX.1 Depth or Canny model"}
"""Models of the architecture of FLUX.1 that read more than a latent, by their number of input channels."""

_PATTERNS = {noun: re.compile(_PREFIX + f"(?:{pattern})") for noun, pattern in _OTHERS.items()}


def other_model(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Name the unsupported model that has tensors of these names and shapes, such as `a Wan model`; None if
    unknown."""
    for noun, is_its in _PATTERNS.items():
        if any(map(is_its.match, shapes)):
            return noun
    if any(map(_FLUX.match, shapes)):
        first = (shape for name, shape in shapes.items() if _FLUX_FIRST.fullmatch(name) and len(shape) == 2)
        return _FLUX_CHANNELS.get(next(first, (0, 0))[1])
    return None
