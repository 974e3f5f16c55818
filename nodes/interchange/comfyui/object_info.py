"""Describes the convertible node types as ComfyUI's `GET /object_info` does.

A line describes the inputs of a type, in ComfyUI's order. An input is `NAME:TYPE`; `?NAME` is optional. TYPE
is a wire type, `INT`, `FLOAT`, `STRING` or `BOOLEAN` with its default, choices with `|` between them, or
`@LIST` for names of files, samplers or schedulers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from engine.files import Files
from engine.widgets import SEED_MAX
from nodes.interchange.file_lists import MODEL_KINDS, model_names, picture_names
from nodes.interchange.sampler_names import COMFY_SAMPLERS, COMFY_SCHEDULES


class _Described(NamedTuple):
    inputs: str
    outputs: str
    category: str


_COND, _SIZE, _SIDES = "conditioning:CONDITIONING", "width:INT=512 height:INT=512", "left top right bottom"
_FOUR = " ".join(f"{side}:INT=0" for side in _SIDES.split())
_METHOD = "upscale_method:nearest-exact|bilinear|area|bicubic|bislerp"
_PICTURE_METHOD = "upscale_method:nearest-exact|bilinear|area|bicubic|lanczos"
_PLACE = "width:INT=64 height:INT=64 x:INT=0 y:INT=0 strength:FLOAT=1.0"
_SAMPLE = "sampler_name:@samplers scheduler:@schedulers"
_TILES = "tile_size:INT=512 overlap:INT=64 temporal_size:INT=64 temporal_overlap:INT=8"
_SIGMAS = "steps:INT=20 sigma_max:FLOAT=14.614642 sigma_min:FLOAT=0.0291675"
_FLIP = "x-axis:_vertically|y-axis:_horizontally"
_ANGLES = "none|90_degrees|180_degrees|270_degrees"
_CANVAS = f"{_SIZE} batch_size:INT=1"
_NOISE = "eta:FLOAT=1.0 s_noise:FLOAT=1.0"

NODES: Mapping[str, _Described] = {
    name: _Described(*parts)
    for name, parts in {
        "CheckpointLoaderSimple": ("ckpt_name:@checkpoints", "MODEL CLIP VAE", "loaders"),
        "CheckpointLoader": (
            "config_name:STRING ckpt_name:@checkpoints", "MODEL CLIP VAE", "advanced/loaders"),
        "VAELoader": ("vae_name:@vae", "VAE", "loaders"),
        "UNETLoader": ("unet_name:@unet weight_dtype:default", "MODEL", "advanced/loaders"),
        "CLIPLoader": (
            "clip_name:@text_encoders type:stable_diffusion|sdxl ?device:default",
            "CLIP", "advanced/loaders"),
        "DualCLIPLoader": (
            "clip_name1:@text_encoders clip_name2:@text_encoders type:sdxl|flux ?device:default",
            "CLIP", "advanced/loaders"),
        "TripleCLIPLoader": (
            "clip_name1:@text_encoders clip_name2:@text_encoders clip_name3:@text_encoders",
            "CLIP", "advanced/loaders"),
        "LoraLoader": (
            "model:MODEL clip:CLIP lora_name:@loras strength_model:FLOAT=1.0 strength_clip:FLOAT=1.0",
            "MODEL CLIP", "loaders"),
        "LoraLoaderModelOnly": (
            "model:MODEL lora_name:@loras strength_model:FLOAT=1.0", "MODEL", "loaders"),
        "ControlNetLoader": ("control_net_name:@controlnet", "CONTROL_NET", "loaders"),
        "UpscaleModelLoader": ("model_name:@upscale_models", "UPSCALE_MODEL", "loaders"),
        "CLIPSetLastLayer": ("clip:CLIP stop_at_clip_layer:INT=-1", "CLIP", "conditioning"),
        "CLIPTextEncode": ("text:STRING clip:CLIP", "CONDITIONING", "conditioning"),
        "CLIPTextEncodeSDXL": (
            "clip:CLIP width:INT=1024 height:INT=1024 crop_w:INT=0 crop_h:INT=0 target_width:INT=1024 "
            "target_height:INT=1024 text_g:STRING text_l:STRING", "CONDITIONING", "advanced/conditioning"),
        "CLIPTextEncodeSDXLRefiner": (
            "ascore:FLOAT=6.0 width:INT=1024 height:INT=1024 text:STRING clip:CLIP",
            "CONDITIONING", "advanced/conditioning"),
        "CLIPTextEncodeSD3": (
            "clip:CLIP clip_l:STRING clip_g:STRING t5xxl:STRING empty_padding:none|empty_prompt",
            "CONDITIONING", "advanced/conditioning"),
        "CLIPTextEncodeFlux": (
            "clip:CLIP clip_l:STRING t5xxl:STRING guidance:FLOAT=3.5",
            "CONDITIONING", "advanced/conditioning/flux"),
        "FluxGuidance": (
            f"{_COND} guidance:FLOAT=3.5", "CONDITIONING", "advanced/conditioning/flux"),
        "ConditioningAverage": (
            "conditioning_to:CONDITIONING conditioning_from:CONDITIONING conditioning_to_strength:FLOAT=1.0",
            "CONDITIONING", "conditioning"),
        "ConditioningCombine": (
            "conditioning_1:CONDITIONING conditioning_2:CONDITIONING", "CONDITIONING", "conditioning"),
        "ConditioningConcat": (
            "conditioning_to:CONDITIONING conditioning_from:CONDITIONING", "CONDITIONING", "conditioning"),
        "ConditioningSetArea": (f"{_COND} {_PLACE}", "CONDITIONING", "conditioning"),
        "ConditioningSetAreaPercentage": (
            f"{_COND} width:FLOAT=1.0 height:FLOAT=1.0 x:FLOAT=0.0 y:FLOAT=0.0 strength:FLOAT=1.0",
            "CONDITIONING", "conditioning"),
        "ConditioningSetMask": (
            f"{_COND} mask:MASK strength:FLOAT=1.0 set_cond_area:default|mask_bounds",
            "CONDITIONING", "conditioning"),
        "ConditioningSetTimestepRange": (
            f"{_COND} start:FLOAT=0.0 end:FLOAT=1.0", "CONDITIONING", "advanced/conditioning"),
        "ConditioningZeroOut": (_COND, "CONDITIONING", "advanced/conditioning"),
        "ControlNetApply": (
            f"{_COND} control_net:CONTROL_NET image:IMAGE strength:FLOAT=1.0",
            "CONDITIONING", "conditioning"),
        "ControlNetApplyAdvanced": (
            "positive:CONDITIONING negative:CONDITIONING control_net:CONTROL_NET image:IMAGE "
            "strength:FLOAT=1.0 start_percent:FLOAT=0.0 end_percent:FLOAT=1.0 ?vae:VAE",
            "CONDITIONING CONDITIONING", "conditioning/controlnet"),
        "InpaintModelConditioning": (
            "positive:CONDITIONING negative:CONDITIONING vae:VAE pixels:IMAGE mask:MASK "
            "noise_mask:BOOLEAN=True",
            "CONDITIONING CONDITIONING LATENT", "conditioning/inpaint"),
        "ModelMergeSimple": ("model1:MODEL model2:MODEL ratio:FLOAT=1.0", "MODEL", "advanced/model_merging"),
        "ModelMergeAdd": ("model1:MODEL model2:MODEL", "MODEL", "advanced/model_merging"),
        "ModelMergeSubtract": (
            "model1:MODEL model2:MODEL multiplier:FLOAT=1.0", "MODEL", "advanced/model_merging"),
        "CLIPMergeSimple": ("clip1:CLIP clip2:CLIP ratio:FLOAT=1.0", "CLIP", "advanced/model_merging"),
        "ModelSamplingFlux": (
            "model:MODEL max_shift:FLOAT=1.15 base_shift:FLOAT=0.5 width:INT=1024 height:INT=1024",
            "MODEL", "advanced/model"),
        "ModelSamplingSD3": ("model:MODEL shift:FLOAT=3.0", "MODEL", "advanced/model"),
        "EmptyLatentImage": (_CANVAS, "LATENT", "latent"),
        "EmptySD3LatentImage": (
            "width:INT=1024 height:INT=1024 batch_size:INT=1", "LATENT", "latent/sd3"),
        "KSampler": (
            f"model:MODEL seed:INT=0 steps:INT=20 cfg:FLOAT=8.0 {_SAMPLE} positive:CONDITIONING "
            "negative:CONDITIONING latent_image:LATENT denoise:FLOAT=1.0", "LATENT", "sampling"),
        "KSamplerAdvanced": (
            "model:MODEL add_noise:enable|disable noise_seed:INT=0 steps:INT=20 cfg:FLOAT=8.0 "
            f"{_SAMPLE} positive:CONDITIONING negative:CONDITIONING latent_image:LATENT start_at_step:INT=0 "
            "end_at_step:INT=10000 return_with_leftover_noise:disable|enable", "LATENT", "sampling"),
        "SamplerCustom": (
            "model:MODEL add_noise:BOOLEAN=True noise_seed:INT=0 cfg:FLOAT=8.0 positive:CONDITIONING "
            "negative:CONDITIONING sampler:SAMPLER sigmas:SIGMAS latent_image:LATENT",
            "LATENT LATENT", "sampling/custom_sampling"),
        "SamplerCustomAdvanced": (
            "noise:NOISE guider:GUIDER sampler:SAMPLER sigmas:SIGMAS latent_image:LATENT",
            "LATENT LATENT", "sampling/custom_sampling"),
        "KSamplerSelect": ("sampler_name:@samplers", "SAMPLER", "sampling/custom_sampling/samplers"),
        "SamplerDPMPP_2M_SDE": (
            f"solver_type:midpoint|heun {_NOISE} noise_device:gpu|cpu",
            "SAMPLER", "sampling/custom_sampling/samplers"),
        "SamplerDPMPP_2S_Ancestral": (_NOISE, "SAMPLER", "sampling/custom_sampling/samplers"),
        "SamplerDPMPP_3M_SDE": (
            f"{_NOISE} noise_device:gpu|cpu", "SAMPLER", "sampling/custom_sampling/samplers"),
        "SamplerDPMPP_SDE": (
            f"{_NOISE} r:FLOAT=0.5 noise_device:gpu|cpu", "SAMPLER", "sampling/custom_sampling/samplers"),
        "SamplerEulerAncestral": (_NOISE, "SAMPLER", "sampling/custom_sampling/samplers"),
        "SamplerLMS": ("order:INT=4", "SAMPLER", "sampling/custom_sampling/samplers"),
        "BasicScheduler": (
            "model:MODEL scheduler:@schedulers steps:INT=20 denoise:FLOAT=1.0",
            "SIGMAS", "sampling/custom_sampling/schedulers"),
        "BetaSamplingScheduler": (
            "model:MODEL steps:INT=20 alpha:FLOAT=0.6 beta:FLOAT=0.6",
            "SIGMAS", "sampling/custom_sampling/schedulers"),
        "ExponentialScheduler": (_SIGMAS, "SIGMAS", "sampling/custom_sampling/schedulers"),
        "KarrasScheduler": (f"{_SIGMAS} rho:FLOAT=7.0", "SIGMAS", "sampling/custom_sampling/schedulers"),
        "PolyexponentialScheduler": (
            f"{_SIGMAS} rho:FLOAT=1.0", "SIGMAS", "sampling/custom_sampling/schedulers"),
        "SDTurboScheduler": (
            "model:MODEL steps:INT=1 denoise:FLOAT=1.0", "SIGMAS", "sampling/custom_sampling/schedulers"),
        "SplitSigmas": ("sigmas:SIGMAS step:INT=0", "SIGMAS SIGMAS", "sampling/custom_sampling/sigmas"),
        "SplitSigmasDenoise": (
            "sigmas:SIGMAS denoise:FLOAT=1.0", "SIGMAS SIGMAS", "sampling/custom_sampling/sigmas"),
        "RandomNoise": ("noise_seed:INT=0", "NOISE", "sampling/custom_sampling/noise"),
        "DisableNoise": ("", "NOISE", "sampling/custom_sampling/noise"),
        "CFGGuider": (
            "model:MODEL positive:CONDITIONING negative:CONDITIONING cfg:FLOAT=8.0",
            "GUIDER", "sampling/custom_sampling/guiders"),
        "BasicGuider": (
            "model:MODEL conditioning:CONDITIONING", "GUIDER", "sampling/custom_sampling/guiders"),
        "VAEDecode": ("samples:LATENT vae:VAE", "IMAGE", "latent"),
        "VAEDecodeTiled": (f"samples:LATENT vae:VAE {_TILES}", "IMAGE", "_for_testing"),
        "VAEEncode": ("pixels:IMAGE vae:VAE", "LATENT", "latent"),
        "VAEEncodeTiled": (f"pixels:IMAGE vae:VAE {_TILES}", "LATENT", "_for_testing"),
        "VAEEncodeForInpaint": (
            "pixels:IMAGE vae:VAE mask:MASK grow_mask_by:INT=6", "LATENT", "latent/inpaint"),
        "SetLatentNoiseMask": ("samples:LATENT mask:MASK", "LATENT", "latent/inpaint"),
        "LatentUpscale": (
            f"samples:LATENT {_METHOD} {_SIZE} crop:disabled|center", "LATENT", "latent"),
        "LatentUpscaleBy": (f"samples:LATENT {_METHOD} scale_by:FLOAT=1.5", "LATENT", "latent"),
        "LatentComposite": (
            "samples_to:LATENT samples_from:LATENT x:INT=0 y:INT=0 feather:INT=0", "LATENT", "latent"),
        "LatentCompositeMasked": (
            "destination:LATENT source:LATENT x:INT=0 y:INT=0 resize_source:BOOLEAN=False ?mask:MASK",
            "LATENT", "latent"),
        "LatentCrop": (
            f"samples:LATENT {_SIZE} x:INT=0 y:INT=0", "LATENT", "latent/transform"),
        "LatentFlip": (f"samples:LATENT flip_method:{_FLIP}", "LATENT", "latent/transform"),
        "LatentRotate": (f"samples:LATENT rotation:{_ANGLES}", "LATENT", "latent/transform"),
        "LatentBatch": ("samples1:LATENT samples2:LATENT", "LATENT", "latent/batch"),
        "RepeatLatentBatch": ("samples:LATENT amount:INT=1", "LATENT", "latent/batch"),
        "LatentFromBatch": ("samples:LATENT batch_index:INT=0 length:INT=1", "LATENT", "latent/batch"),
        "LoadImage": ("image:@pictures", "IMAGE MASK", "image"),
        "LoadImageMask": ("image:@pictures channel:alpha|red|green|blue", "MASK", "mask"),
        "ImageScale": (
            f"image:IMAGE {_PICTURE_METHOD} {_SIZE} crop:disabled|center", "IMAGE", "image/upscaling"),
        "ImageScaleBy": (f"image:IMAGE {_PICTURE_METHOD} scale_by:FLOAT=1.0", "IMAGE", "image/upscaling"),
        "ImageUpscaleWithModel": ("upscale_model:UPSCALE_MODEL image:IMAGE", "IMAGE", "image/upscaling"),
        "ImageCrop": (f"image:IMAGE {_SIZE} x:INT=0 y:INT=0", "IMAGE", "image/transform"),
        "ImagePadForOutpaint": (f"image:IMAGE {_FOUR} feathering:INT=40", "IMAGE MASK", "image"),
        "ImageFlip": (f"image:IMAGE flip_method:{_FLIP}", "IMAGE", "image/transform"),
        "ImageRotate": (f"image:IMAGE rotation:{_ANGLES}", "IMAGE", "image/transform"),
        "ImageCompositeMasked": (
            "destination:IMAGE source:IMAGE x:INT=0 y:INT=0 resize_source:BOOLEAN=False ?mask:MASK",
            "IMAGE", "image"),
        "ImageBlend": (
            "image1:IMAGE image2:IMAGE blend_factor:FLOAT=0.5 "
            "blend_mode:normal|multiply|screen|overlay|soft_light|difference",
            "IMAGE", "image/postprocessing"),
        "ImageBlur": ("image:IMAGE blur_radius:INT=1 sigma:FLOAT=1.0", "IMAGE", "image/postprocessing"),
        "ImageInvert": ("image:IMAGE", "IMAGE", "image"),
        "ImageBatch": ("image1:IMAGE image2:IMAGE", "IMAGE", "image"),
        "EmptyImage": (f"{_CANVAS} color:INT=0", "IMAGE", "image"),
        "ImageToMask": ("image:IMAGE channel:red|green|blue", "MASK", "mask"),
        "ImageColorToMask": ("image:IMAGE color:INT=0", "MASK", "mask"),
        "MaskToImage": ("mask:MASK", "IMAGE", "mask"),
        "SolidMask": (f"value:FLOAT=1.0 {_SIZE}", "MASK", "mask"),
        "InvertMask": ("mask:MASK", "MASK", "mask"),
        "CropMask": ("mask:MASK x:INT=0 y:INT=0 width:INT=512 height:INT=512", "MASK", "mask"),
        "MaskComposite": (
            "destination:MASK source:MASK x:INT=0 y:INT=0 operation:multiply|add|subtract|and|or|xor",
            "MASK", "mask"),
        "FeatherMask": (f"mask:MASK {_FOUR}", "MASK", "mask"),
        "GrowMask": ("mask:MASK expand:INT=0 tapered_corners:BOOLEAN=True", "MASK", "mask"),
        "ThresholdMask": ("mask:MASK value:FLOAT=0.5", "MASK", "mask"),
        "SaveImage": ("images:IMAGE filename_prefix:STRING=ComfyUI", "", "image"),
        "PreviewImage": ("images:IMAGE", "", "image"),
    }.items()
}  # fmt: skip
"""ComfyUI's node types that can be converted: inputs, outputs and category."""
SAVERS = ("SaveImage", "PreviewImage")
_INPUT = re.compile(r"(\??)(\w+):(.+)")
_RANGES: Mapping[str, tuple[float, float]] = {
    "seed": (0, SEED_MAX),
    "noise_seed": (0, SEED_MAX),
    "steps": (1, 999),
    "cfg": (0.0, 30.0),
    "denoise": (0.0, 1.0),
    "width": (16, 16384),
    "height": (16, 16384),
    "batch_size": (1, 4096),
    "stop_at_clip_layer": (-24, -1),
}
"""The range of a number, by the name of its input."""


def comfyui_lists(files: Files) -> Mapping[str, Any]:
    """Return the convertible node types (`object_info`), and the model files' names by folder (`models`)."""
    models: dict[str, Any] = {kind: model_names(files, kind) for kind in MODEL_KINDS}
    choices = {
        **models,
        "samplers": [*COMFY_SAMPLERS],
        "schedulers": [*COMFY_SCHEDULES],
        "pictures": picture_names(files),
    }
    return {
        "object_info": {name: _node(name, described, choices) for name, described in NODES.items()},
        "models": models,
    }


def _node(name: str, described: _Described, choices: Mapping[str, Any]) -> dict[str, Any]:
    sections: dict[str, dict[str, Any]] = {"required": {}, "optional": {}}
    for written in described.inputs.split():
        match = _INPUT.fullmatch(written)
        assert match is not None, written
        optional, input, type_name = match.groups()
        sections["optional" if optional else "required"][input] = _input(input, type_name, choices)
    outputs = described.outputs.split()
    return {
        "input": {section: inputs for section, inputs in sections.items() if inputs or section == "required"},
        "input_order": {section: [*inputs] for section, inputs in sections.items()},
        "output": outputs,
        "output_is_list": [False] * len(outputs),
        "output_name": outputs,
        "name": name,
        "display_name": name,
        "description": "",
        "python_module": "nodes",
        "category": described.category,
        "output_node": name in SAVERS,
    }


def _input(name: str, type_name: str, choices: Mapping[str, Any]) -> list[Any]:
    """Describe an input as ComfyUI does: a list with its type or choices, and its options."""
    if type_name.startswith("@"):
        return [choices[type_name[1:]], {}]
    kind, _, default = type_name.partition("=")
    if kind in ("INT", "FLOAT"):
        number = int(default) if kind == "INT" else float(default)
        low, high = _RANGES.get(name, (-16384, 16384))
        return [kind, {"default": number, "min": low, "max": high}]
    if kind == "STRING":
        return [kind, {"default": default, "multiline": not default}]
    if kind == "BOOLEAN":
        return [kind, {"default": default == "True"}]
    if kind.isupper():
        return [kind]
    listed = [_spaced(choice) for choice in kind.split("|")]
    return [listed, {"default": listed[0]}]


def _spaced(choice: str) -> str:
    """Restore the spaces in a choice, which the lines above write as `_`; only axes and angles have some."""
    return choice.replace("_", " ") if "axis:" in choice or choice.endswith("degrees") else choice
