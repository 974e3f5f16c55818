"""ComfyUI's node types that combine and limit prompts, and how each is converted."""

from __future__ import annotations

from engine.document.graph import Entry
from nodes.files.controlnet_files import CONTROLNETS
from nodes.interchange.comfyui.conversion import ComfyConversion
from nodes.interchange.comfyui.graph_data import ComfyNode
from nodes.interchange.comfyui.node_type import NodeType, one_of, renamed
from nodes.interchange.graph_from_settings import entry
from nodes.interchange.local_files import bare_name
from nodes.prompt.conditioning import (
    AveragePrompts,
    CombinePrompts,
    JoinPrompts,
    LimitToArea,
    LimitToMask,
    LimitToSteps,
    ZeroPrompt,
)
from nodes.prompt.controlnet import ApplyControlNet, ApplyControlNetToPrompt, LoadControlNet

_PLACE = {name: name for name in ("width", "height", "x", "y", "strength")}


def _share_of_the_picture(made: ComfyConversion, node: ComfyNode) -> Entry:
    inputs = {name: made.bind(node, name) for name in _PLACE}
    return entry(LimitToArea, prompt=made.bind(node, "conditioning"), **inputs, unit="share")


def _mask(made: ComfyConversion, node: ComfyNode) -> Entry:
    prompt, mask, strength = (made.bind(node, name) for name in ("conditioning", "mask", "strength"))
    crop = True if made.value(node, "set_cond_area") == "mask bounds" else None
    return entry(LimitToMask, prompt=prompt, mask=mask, strength=strength, crop=crop)


def _controlnet(made: ComfyConversion, node: ComfyNode) -> Entry:
    name = made.text(node, "control_net_name")
    return entry(LoadControlNet, controlnet=made.files.network(CONTROLNETS, name) or bare_name(name))


PROMPT_NODE_TYPES = {
    "ConditioningAverage": NodeType(
        "average",
        renamed(
            AveragePrompts,
            first="conditioning_to",
            second="conditioning_from",
            weight="conditioning_to_strength",
        ),
    ),
    "ConditioningCombine": NodeType(
        "combine", renamed(CombinePrompts, first="conditioning_1", second="conditioning_2")
    ),
    "ConditioningConcat": NodeType(
        "join", renamed(JoinPrompts, first="conditioning_to", second="conditioning_from")
    ),
    "ConditioningSetArea": NodeType("area", renamed(LimitToArea, prompt="conditioning", **_PLACE)),
    "ConditioningSetAreaPercentage": NodeType("area", _share_of_the_picture),
    "ConditioningSetMask": NodeType(
        "masked", _mask, fits=one_of("set_cond_area", "default", "mask bounds", None)
    ),
    "ConditioningSetTimestepRange": NodeType(
        "steps", renamed(LimitToSteps, prompt="conditioning", start="start", end="end")
    ),
    "ControlNetApply": NodeType(
        "control",
        renamed(
            ApplyControlNetToPrompt,
            prompt="conditioning",
            controlnet="control_net",
            image="image",
            strength="strength",
        ),
    ),
    "ControlNetApplyAdvanced": NodeType(
        "control",
        renamed(
            ApplyControlNet,
            positive="positive",
            negative="negative",
            controlnet="control_net",
            image="image",
            strength="strength",
            start="start_percent",
            end="end_percent",
        ),
        ("positive", "negative"),
    ),
    "ControlNetLoader": NodeType("controlnet", _controlnet),
    "ConditioningZeroOut": NodeType("zero", renamed(ZeroPrompt, prompt="conditioning")),
}
"""ComfyUI's node types that combine and limit prompts."""
