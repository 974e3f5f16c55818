"""ComfyUI's nodes for prompts, latents and inpainting, made into nodes of ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.testing import output, run_graph
from nodes.interchange.comfyui.latent_nodes import LATENT_NODE_TYPES
from nodes.interchange.comfyui.prompt_nodes import PROMPT_NODE_TYPES
from nodes.interchange.comfyui.widget_values import WIDGETS
from tests.nodes.interchange.other_tools import checked, codes, imported, values

LOADER = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "safelight-tiny"}}
SOLID = {
    "class_type": "EmptyImage",
    "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0xFFFFFF},
}
MASK = {"class_type": "SolidMask", "inputs": {"value": 0.5, "width": 64, "height": 64}}
CONTROLNET = {"class_type": "ControlNetLoader", "inputs": {"control_net_name": "sd15/canny.safetensors"}}
LATENT = {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}
A, B = ["2", 0], ["3", 0]
LATENTS, IMAGE, A_MASK, VAE = ["4", 0], ["5", 0], ["6", 0], ["1", 2]


def text(words: str) -> dict[str, Any]:
    return {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": words}}


def with_node(node_type: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """A workflow that draws with the node's first output: a prompt or a latent."""
    prompt = node_type in PROMPT_NODE_TYPES
    slot = 2 if node_type == "InpaintModelConditioning" else 0
    sampler = {
        "model": ["1", 0],
        "positive": ["9", 0] if prompt else A,
        "negative": B,
        "latent_image": LATENTS if prompt else ["9", slot],
        "seed": 1,
        "steps": 2,
        "cfg": 3.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
    }
    return {
        **{"1": LOADER, "2": text("a red circle"), "3": text(""), "4": LATENT, "5": SOLID, "6": MASK},
        **({"7": CONTROLNET} if node_type.startswith("ControlNetApply") else {}),
        "9": {"class_type": node_type, "inputs": inputs},
        "10": {"class_type": "KSampler", "inputs": sampler},
        "11": {"class_type": "VAEDecode", "inputs": {"samples": ["10", 0], "vae": VAE}},
        "12": {"class_type": "SaveImage", "inputs": {"images": ["11", 0], "filename_prefix": "x"}},
    }


EXAMPLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ConditioningAverage": (
        {"conditioning_to": A, "conditioning_from": B, "conditioning_to_strength": 0.3},
        {"first": "prompt-2.out", "second": "prompt-3.out", "weight": 0.3},
    ),
    "ConditioningCombine": (
        {"conditioning_1": A, "conditioning_2": B},
        {"first": "prompt-2.out", "second": "prompt-3.out"},
    ),
    "ConditioningConcat": (
        {"conditioning_to": A, "conditioning_from": B},
        {"first": "prompt-2.out", "second": "prompt-3.out"},
    ),
    "ConditioningSetArea": (
        {"conditioning": A, "width": 32, "height": 64, "x": 8, "y": 0, "strength": 0.8},
        {"prompt": "prompt-2.out", "width": 32, "height": 64, "x": 8, "y": 0, "strength": 0.8},
    ),
    "ConditioningSetAreaPercentage": (
        {"conditioning": A, "width": 1.0, "height": 0.5, "x": 0.0, "y": 0.5, "strength": 1.0},
        {
            **{"prompt": "prompt-2.out", "width": 1.0, "height": 0.5, "x": 0.0, "y": 0.5},
            **{"strength": 1.0, "unit": "share"},
        },
    ),
    "ConditioningSetMask": (
        {"conditioning": A, "mask": A_MASK, "strength": 0.7, "set_cond_area": "mask bounds"},
        {"prompt": "prompt-2.out", "mask": "mask-6.out", "strength": 0.7, "crop": True},
    ),
    "ConditioningSetTimestepRange": (
        {"conditioning": A, "start": 0.0, "end": 0.6},
        {"prompt": "prompt-2.out", "start": 0.0, "end": 0.6},
    ),
    "ConditioningZeroOut": ({"conditioning": A}, {"prompt": "prompt-2.out"}),
    "ControlNetApply": (
        {"conditioning": A, "control_net": ["7", 0], "image": IMAGE, "strength": 0.8},
        {
            **{"prompt": "prompt-2.out", "controlnet": "controlnet-7.out", "image": "solid-5.out"},
            "strength": 0.8,
        },
    ),
    "ControlNetApplyAdvanced": (
        {
            **{"positive": A, "negative": B, "control_net": ["7", 0], "image": IMAGE},
            **{"strength": 0.8, "start_percent": 0.1, "end_percent": 0.9},
        },
        {
            **{"positive": "prompt-2.out", "negative": "prompt-3.out", "controlnet": "controlnet-7.out"},
            **{"image": "solid-5.out", "strength": 0.8, "start": 0.1, "end": 0.9},
        },
    ),
    "InpaintModelConditioning": (
        {"positive": A, "negative": B, "vae": VAE, "pixels": IMAGE, "mask": A_MASK, "noise_mask": True},
        {
            **{"vae": "model-1.vae", "image": "solid-5.out", "mask": "mask-6.out"},
            **{"grow": 0, "for_inpainting_model": True},
        },
    ),
    "LatentBatch": (
        {"samples1": LATENTS, "samples2": LATENTS},
        {"first": "canvas-4.out", "second": "canvas-4.out"},
    ),
    "LatentComposite": (
        {"samples_to": LATENTS, "samples_from": LATENTS, "x": 12, "y": 0, "feather": 16},
        {"base": "canvas-4.out", "top": "canvas-4.out", "x": 8, "y": 0, "feather": 16},
    ),
    "LatentCompositeMasked": (
        {"destination": LATENTS, "source": LATENTS, "x": 8, "y": 0, "resize_source": False, "mask": A_MASK},
        {"base": "canvas-4.out", "top": "canvas-4.out", "x": 8, "y": 0, "mask": "mask-6.out"},
    ),
    "LatentCrop": (
        {"samples": LATENTS, "width": 64, "height": 64, "x": 0, "y": 0},
        {"latent": "canvas-4.out", "width": 64, "height": 64, "x": 0, "y": 0},
    ),
    "LatentFlip": (
        {"samples": LATENTS, "flip_method": "x-axis: vertically"},
        {"latent": "canvas-4.out", "direction": "vertical"},
    ),
    "LatentFromBatch": (
        {"samples": LATENTS, "batch_index": 0, "length": 1},
        {"latent": "canvas-4.out", "first": 0, "count": 1},
    ),
    "LatentRotate": (
        {"samples": LATENTS, "rotation": "270 degrees"},
        {"latent": "canvas-4.out", "angle": "270"},
    ),
    "LatentUpscale": (
        {"samples": LATENTS, "upscale_method": "bislerp", "width": 100, "height": 20, "crop": "center"},
        {"latent": "canvas-4.out", "method": "bislerp", "width": 96, "height": 64, "fit": "crop"},
    ),
    "LatentUpscaleBy": (
        {"samples": LATENTS, "upscale_method": "nearest-exact", "scale_by": 1.5},
        {"latent": "canvas-4.out", "method": "nearest", "factor": 1.5},
    ),
    "RepeatLatentBatch": ({"samples": LATENTS, "amount": 2}, {"latent": "canvas-4.out", "times": 2}),
    "SetLatentNoiseMask": (
        {"samples": LATENTS, "mask": A_MASK},
        {"latent": "canvas-4.out", "mask": "mask-6.out"},
    ),
    "VAEEncodeForInpaint": (
        {"pixels": IMAGE, "vae": VAE, "mask": A_MASK, "grow_mask_by": 6},
        {
            **{"vae": "model-1.vae", "image": "solid-5.out", "mask": "mask-6.out"},
            **{"content": "grey", "grow": 6},
        },
    ),
}


def test_every_converted_type_has_an_example() -> None:
    assert {*EXAMPLES, "ControlNetLoader"} == {*PROMPT_NODE_TYPES, *LATENT_NODE_TYPES}


@pytest.mark.parametrize("node_type", EXAMPLES)
def test_a_node_becomes_one_of_ours_with_its_settings(node_type: str) -> None:
    inputs, expected = EXAMPLES[node_type]
    found = imported(with_node(node_type, inputs))
    (id,) = [id for id in found.graph.nodes if id.endswith("-9")]
    assert values(found.graph, id) == expected
    assert {*codes(found)} <= {"missing_model", "missing_network"}
    problems = [problem.code for problem in checked(found.graph, model="safelight-tiny").problems]
    assert [code for code in problems if code != "missing_file"] == []
    listed = WIDGETS.get(node_type, ())
    settings = {name for name, value in inputs.items() if not isinstance(value, list)}
    assert set(listed) == settings, "the editor lists the values without names"


def test_the_prompts_pass_an_inpaint_model_conditioning() -> None:
    inputs, _ = EXAMPLES["InpaintModelConditioning"]
    api = with_node("InpaintModelConditioning", inputs)
    api["10"]["inputs"] |= {"positive": ["9", 0], "negative": ["9", 1]}
    denoise = values(imported(api).graph, "denoise-10")
    assert (denoise["positive"], denoise["negative"]) == ("prompt-2.out", "prompt-3.out")
    assert denoise["latent"] == "inpaint-9.out"


@pytest.mark.parametrize(
    ("node_type", "changed"),
    [
        ("LatentUpscale", {"width": 0}),
        ("LatentUpscale", {"upscale_method": "lanczos"}),
        ("LatentRotate", {"rotation": "none"}),
        ("LatentCompositeMasked", {"resize_source": True}),
        ("InpaintModelConditioning", {"noise_mask": False}),
    ],
)
def test_settings_without_counterpart_keep_a_placeholder(node_type: str, changed: dict[str, Any]) -> None:
    inputs, _ = EXAMPLES[node_type]
    graph = imported(with_node(node_type, {**inputs, **changed})).graph
    assert any(node.type.startswith("comfy/") for node in graph.nodes.values())


def test_an_imported_workflow_with_areas_runs() -> None:
    inputs, _ = EXAMPLES["ConditioningSetArea"]
    api = with_node("ConditioningSetArea", inputs)
    api["13"] = {
        "class_type": "ConditioningCombine",
        "inputs": {"conditioning_1": A, "conditioning_2": ["9", 0]},
    }
    api["10"]["inputs"]["positive"] = ["13", 0]
    report = run_graph(imported(api).graph, values={"model": "safelight-tiny"})
    assert np.asarray(output(report).pixels).shape == (1, 64, 64, 3)
