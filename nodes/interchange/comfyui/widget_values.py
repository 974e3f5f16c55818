"""Finds the names of nodes' values in the editor's format, which lists only the values.

The order of the core nodes' values is that of ComfyUI in 2025-10. A seed is followed by a word that says how
the editor changes the seed after a run. For other nodes, the names are known if the file lists the widgets,
as editors since 2025 do; otherwise the values are kept as one list under `widgets_values`.
"""

from __future__ import annotations

from typing import Any

from engine.values import Json

_SDXL_PROMPT = ("width", "height", "crop_w", "crop_h", "target_width", "target_height", "text_g", "text_l")

WIDGETS = {
    "CheckpointLoaderSimple": ("ckpt_name",),
    "CheckpointLoader": ("config_name", "ckpt_name"),
    "CLIPMergeSimple": ("ratio",),
    "CLIPTextEncode": ("text",),
    "CLIPSetLastLayer": ("stop_at_clip_layer",),
    "ConditioningAverage": ("conditioning_to_strength",),
    "ConditioningSetArea": ("width", "height", "x", "y", "strength"),
    "ConditioningSetAreaPercentage": ("width", "height", "x", "y", "strength"),
    "ConditioningSetMask": ("strength", "set_cond_area"),
    "ConditioningSetTimestepRange": ("start", "end"),
    "ControlNetApply": ("strength",),
    "ControlNetApplyAdvanced": ("strength", "start_percent", "end_percent"),
    "ControlNetLoader": ("control_net_name",),
    "EmptyLatentImage": ("width", "height", "batch_size"),
    "EmptySD3LatentImage": ("width", "height", "batch_size"),
    "CropMask": ("x", "y", "width", "height"),
    "EmptyImage": ("width", "height", "batch_size", "color"),
    "FluxGuidance": ("guidance",),
    "FeatherMask": ("left", "top", "right", "bottom"),
    "GrowMask": ("expand", "tapered_corners"),
    "ImageBlend": ("blend_factor", "blend_mode"),
    "ImageBlur": ("blur_radius", "sigma"),
    "ImageColorToMask": ("color",),
    "ImageCompositeMasked": ("x", "y", "resize_source"),
    "ImageCrop": ("width", "height", "x", "y"),
    "ImageFlip": ("flip_method",),
    "ImagePadForOutpaint": ("left", "top", "right", "bottom", "feathering"),
    "ImageRotate": ("rotation",),
    "ImageScale": ("upscale_method", "width", "height", "crop"),
    "ImageScaleBy": ("upscale_method", "scale_by"),
    "ImageToMask": ("channel",),
    "InpaintModelConditioning": ("noise_mask",),
    "KSampler": ("seed", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "KSamplerAdvanced": (
        "add_noise",
        "noise_seed",
        "steps",
        "cfg",
        "sampler_name",
        "scheduler",
        "start_at_step",
        "end_at_step",
        "return_with_leftover_noise",
    ),
    "LatentComposite": ("x", "y", "feather"),
    "LatentCompositeMasked": ("x", "y", "resize_source"),
    "LatentCrop": ("width", "height", "x", "y"),
    "LatentFlip": ("flip_method",),
    "LatentFromBatch": ("batch_index", "length"),
    "LatentRotate": ("rotation",),
    "LatentUpscale": ("upscale_method", "width", "height", "crop"),
    "LatentUpscaleBy": ("upscale_method", "scale_by"),
    "LoadImage": ("image", "upload"),
    "LoadImageMask": ("image", "channel", "upload"),
    "LoraLoader": ("lora_name", "strength_model", "strength_clip"),
    "LoraLoaderModelOnly": ("lora_name", "strength_model"),
    "MaskComposite": ("x", "y", "operation"),
    "ModelSamplingFlux": ("max_shift", "base_shift", "width", "height"),
    "ModelSamplingSD3": ("shift",),
    "ModelMergeSimple": ("ratio",),
    "ModelMergeSubtract": ("multiplier",),
    "RandomNoise": ("noise_seed",),
    "RepeatLatentBatch": ("amount",),
    "SamplerCustom": ("add_noise", "noise_seed", "cfg"),
    "CFGGuider": ("cfg",),
    "KSamplerSelect": ("sampler_name",),
    "SamplerDPMPP_2M_SDE": ("solver_type", "eta", "s_noise", "noise_device"),
    "SamplerDPMPP_2S_Ancestral": ("eta", "s_noise"),
    "SamplerDPMPP_3M_SDE": ("eta", "s_noise", "noise_device"),
    "SamplerDPMPP_SDE": ("eta", "s_noise", "r", "noise_device"),
    "SamplerEulerAncestral": ("eta", "s_noise"),
    "SamplerLMS": ("order",),
    "BasicScheduler": ("scheduler", "steps", "denoise"),
    "BetaSamplingScheduler": ("steps", "alpha", "beta"),
    "ExponentialScheduler": ("steps", "sigma_max", "sigma_min"),
    "KarrasScheduler": ("steps", "sigma_max", "sigma_min", "rho"),
    "PolyexponentialScheduler": ("steps", "sigma_max", "sigma_min", "rho"),
    "SDTurboScheduler": ("steps", "denoise"),
    "SplitSigmas": ("step",),
    "SplitSigmasDenoise": ("denoise",),
    "SaveImage": ("filename_prefix",),
    "SetNode": ("name",),
    "GetNode": ("name",),
    "easy setNode": ("name",),
    "easy getNode": ("name",),
    "SolidMask": ("value", "width", "height"),
    "ThresholdMask": ("value",),
    "UpscaleModelLoader": ("model_name",),
    "VAEDecodeTiled": ("tile_size", "overlap", "temporal_size", "temporal_overlap"),
    "VAEEncodeForInpaint": ("grow_mask_by",),
    "VAEEncodeTiled": ("tile_size", "overlap", "temporal_size", "temporal_overlap"),
    "VAELoader": ("vae_name",),
    "CLIPLoader": ("clip_name", "type", "device"),
    "CLIPTextEncodeFlux": ("clip_l", "t5xxl", "guidance"),
    "CLIPTextEncodeSD3": ("clip_l", "clip_g", "t5xxl", "empty_padding"),
    "CLIPTextEncodeSDXL": _SDXL_PROMPT,
    "CLIPTextEncodeSDXLRefiner": ("ascore", "width", "height", "text"),
    "DualCLIPLoader": ("clip_name1", "clip_name2", "type", "device"),
    "TripleCLIPLoader": ("clip_name1", "clip_name2", "clip_name3"),
    "UNETLoader": ("unet_name", "weight_dtype"),
}
"""The names of the values of core nodes, in the editor's order."""
SEEDS = ("seed", "noise_seed")
_AFTER_RUN = ("fixed", "increment", "decrement", "randomize", "increment-wrap")


def named_values(node_type: str, listed: Any, widgets: list[str]) -> dict[str, Json]:
    """Return the values of a node by name.

    Args:
        node_type: the node's type.
        listed: the node's `widgets_values`; some nodes save a mapping instead of a list.
        widgets: the names of the widgets that the node lists among its inputs.
    """
    if isinstance(listed, dict):
        return {str(name): value for name, value in listed.items()}
    if not isinstance(listed, list) or not listed:
        return {}
    if node_type in WIDGETS:
        return {name: values[0] for name, values in split_values(WIDGETS[node_type], listed)}
    if len(widgets) == len(listed):
        return dict(zip(widgets, listed, strict=True))
    return {"widgets_values": listed}


def split_values(names: tuple[str, ...], listed: list[Json]) -> list[tuple[str, list[Json]]]:
    """Pair each name with a list of its value; for a seed, the list has the control word after it, too."""
    left = list(listed)
    split: list[tuple[str, list[Json]]] = []
    for name in names:
        if not left:
            break
        values = [left.pop(0)]
        # The control word after a seed; in early 2023 it was true or false.
        if name in SEEDS and left and (left[0] in _AFTER_RUN or isinstance(left[0], bool)):
            values.append(left.pop(0))
        split.append((name, values))
    return split
