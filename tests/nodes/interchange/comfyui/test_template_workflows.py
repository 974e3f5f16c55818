"""Workflows of the kinds that ComfyUI offers as templates import without placeholders and pass check."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.sources.foreign import Imported
from tests.nodes.interchange.comfyui.test_convert_nodes import node
from tests.nodes.interchange.other_tools import checked, imported

Row = tuple[str, tuple[Any, ...], dict[str, str]]
"""A node: its type, its values in the editor's order, and its wires, such as `4.1` for an output."""
Rows = dict[str, Row]
"""Nodes by their numbers."""
CHECKPOINT: Row = ("CheckpointLoaderSimple", ("some.safetensors",), {})
CANVAS: Row = ("EmptyLatentImage", (64, 64, 1), {})
SAMPLER = (5, "fixed", 20, 8, "euler", "normal", 1)
LATER_SAMPLER = (5, "fixed", 14, 8, "dpmpp_2m", "simple", 0.5)
DRAWN = {"model": "4.0", "positive": "6.0", "negative": "7.0", "latent_image": "5.0"}
PICTURE: Row = ("LoadImage", ("start.png", "image"), {})
VAE: Row = ("VAELoader", ("vae.pt",), {})
CONTROLNET: Row = ("ControlNetLoader", ("depth.pth",), {})
CONTROL = (0.8, 0, 1)
MODEL = {"model": "4.0", "clip": "4.1"}


def text(clip: str = "4.1") -> Row:
    return "CLIPTextEncode", ("a cat, embedding:easy",), {"clip": clip}


PLAIN: Rows = {
    "3": ("KSampler", SAMPLER, DRAWN),
    "4": CHECKPOINT,
    "5": CANVAS,
    "6": text(),
    "7": text(),
    "8": ("VAEDecode", (), {"samples": "3.0", "vae": "4.2"}),
    "9": ("SaveImage", ("x",), {"images": "8.0"}),
    "90": ("MarkdownNote", ("for people",), {}),
}
SECOND_PASS: Rows = {
    "20": ("LatentUpscale", ("nearest-exact", 128, 128, "disabled"), {"samples": "3.0"}),
    "21": ("KSampler", LATER_SAMPLER, {**DRAWN, "latent_image": "20.0"}),
    "22": ("VAEDecode", (), {"samples": "21.0", "vae": "4.2"}),
    "23": ("SaveImage", ("x",), {"images": "22.0"}),
}
UPSCALED: Rows = {
    "30": ("UpscaleModelLoader", ("esrgan.pth",), {}),
    "31": ("ImageUpscaleWithModel", (), {"upscale_model": "30.0", "image": "8.0"}),
}
AREAS: Rows = {
    "40": text(),
    "41": ("ConditioningSetArea", (64, 32, 0, 0, 1), {"conditioning": "40.0"}),
    "42": ("ConditioningCombine", (), {"conditioning_1": "6.0", "conditioning_2": "41.0"}),
    "43": ("CLIPSetLastLayer", (-2,), {"clip": "4.1"}),
    "6": text("43.0"),
    "3": ("KSampler", SAMPLER, {**DRAWN, "positive": "42.0"}),
    "44": VAE,
    "8": ("VAEDecode", (), {"samples": "3.0", "vae": "44.0"}),
}
FLUX_CANVAS: Row = ("EmptySD3LatentImage", (1024, 768, 1), {})
FLUX_SAMPLER = (5, "fixed", 20, 1, "euler", "simple", 1)
FLUX_DRAWN = {**DRAWN, "negative": "6.0"}
FLUX_PARTS: Rows = {
    "4": ("UNETLoader", ("flux1-dev.safetensors", "default"), {}),
    "14": ("DualCLIPLoader", ("clip_l.safetensors", "t5xxl_fp16.safetensors", "flux", "default"), {}),
    "15": ("VAELoader", ("ae.safetensors",), {}),
    "5": FLUX_CANVAS,
    "6": text("14.0"),
    "7": text("14.0"),
    "8": ("VAEDecode", (), {"samples": "3.0", "vae": "15.0"}),
}
WORKFLOWS: dict[str, Rows] = {
    "text to image": PLAIN,
    "image to image": {
        **{"10": PICTURE, "5": ("VAEEncode", (), {"pixels": "10.0", "vae": "4.2"})},
        "3": ("KSampler", LATER_SAMPLER, DRAWN),
    },
    "LoRAs": {
        "10": ("LoraLoader", ("a.safetensors", 0.8, 1), MODEL),
        "11": ("LoraLoader", ("b.safetensors", 0.8, 1), {"model": "10.0", "clip": "10.1"}),
        "3": ("KSampler", SAMPLER, {**DRAWN, "model": "11.0"}),
        "6": text("11.1"),
    },
    "outpaint": {
        "10": PICTURE,
        "11": ("ImagePadForOutpaint", (0, 128, 0, 128, 40), {"image": "10.0"}),
        "5": ("VAEEncodeForInpaint", (8,), {"pixels": "11.0", "vae": "4.2", "mask": "11.1"}),
    },
    "inpaint": {
        "10": PICTURE,
        "5": ("VAEEncodeForInpaint", (8,), {"pixels": "10.0", "vae": "4.2", "mask": "10.1"}),
    },
    "SDXL base and refiner": {
        "10": CHECKPOINT,
        "11": text("10.1"),
        "12": ("PrimitiveNode", (25, "fixed"), {}),
        "3": (
            "KSamplerAdvanced",
            ("enable", 5, "randomize", 25, 8, "euler", "normal", 0, 20, "enable"),
            {**DRAWN, "steps": "12.0"},
        ),
        "13": (
            "KSamplerAdvanced",
            ("disable", 0, "fixed", 25, 8, "euler", "normal", 20, 10000, "disable"),
            {"model": "10.0", "positive": "11.0", "negative": "11.0", "latent_image": "3.0"},
        ),
        "8": ("VAEDecode", (), {"samples": "13.0", "vae": "10.2"}),
    },
    "turbo": {
        "10": ("KSamplerSelect", ("euler_ancestral",), {}),
        "11": ("SDTurboScheduler", (1, 1), {"model": "4.0"}),
        "3": ("SamplerCustom", (True, 0, "fixed", 1), {**DRAWN, "sampler": "10.0", "sigmas": "11.0"}),
        "12": ("PreviewImage", (), {"images": "8.0"}),
    },
    "latent hires fix": SECOND_PASS,
    "upscale model": {**UPSCALED, "9": ("SaveImage", ("x",), {"images": "31.0"})},
    "hires fix with an upscale model": {
        **SECOND_PASS,
        **UPSCALED,
        "32": ("ImageScale", ("bilinear", 128, 128, "disabled"), {"image": "31.0"}),
        "20": ("VAEEncode", (), {"pixels": "32.0", "vae": "4.2"}),
    },
    "second pass by another model": {
        **SECOND_PASS,
        **{"24": CHECKPOINT, "25": ("CLIPSetLastLayer", (-2,), {"clip": "24.1"}), "26": text("25.0")},
        "20": ("LatentUpscaleBy", ("bislerp", 1.5), {"samples": "3.0"}),
        "21": (
            "KSampler",
            LATER_SAMPLER,
            {"model": "24.0", "positive": "26.0", "negative": "26.0", "latent_image": "20.0"},
        ),
    },
    "two ControlNets": {
        **{"10": PICTURE, "11": CONTROLNET, "12": CONTROLNET},
        "13": (
            "ControlNetApplyAdvanced",
            CONTROL,
            {"positive": "6.0", "negative": "7.0", "control_net": "11.0", "image": "10.0"},
        ),
        "14": (
            "ControlNetApplyAdvanced",
            CONTROL,
            {"positive": "13.0", "negative": "13.1", "control_net": "12.0", "image": "10.0"},
        ),
        "3": ("KSampler", SAMPLER, {**DRAWN, "positive": "14.0", "negative": "14.1"}),
    },
    "areas": {**SECOND_PASS, **AREAS},
    "FLUX dev checkpoint": {
        "5": FLUX_CANVAS,
        "10": ("FluxGuidance", (3.5,), {"conditioning": "6.0"}),
        "3": ("KSampler", FLUX_SAMPLER, {**DRAWN, "positive": "10.0"}),
    },
    "FLUX dev of separate files": {
        **FLUX_PARTS,
        "10": ("FluxGuidance", (3.5,), {"conditioning": "6.0"}),
        "11": ("ConditioningZeroOut", (), {"conditioning": "6.0"}),
        "3": ("KSampler", FLUX_SAMPLER, {**FLUX_DRAWN, "positive": "10.0", "negative": "11.0"}),
    },
    "FLUX dev with a LoRA": {
        **FLUX_PARTS,
        "10": ("LoraLoaderModelOnly", ("a.safetensors", 0.8), {"model": "4.0"}),
        "6": ("CLIPTextEncodeFlux", ("a cat", "a cat", 4), {"clip": "14.0"}),
        "3": ("KSampler", FLUX_SAMPLER, {**FLUX_DRAWN, "model": "10.0"}),
    },
    "FLUX dev by custom sampling": {
        **FLUX_PARTS,
        "10": ("FluxGuidance", (3.5,), {"conditioning": "6.0"}),
        "16": ("PrimitiveNode", (1024, "fixed"), {}),
        "17": ("PrimitiveNode", (768, "fixed"), {}),
        "18": (
            "ModelSamplingFlux",
            (1.15, 0.5, 1024, 1024),
            {"model": "4.0", "width": "16.0", "height": "17.0"},
        ),
        "5": (*FLUX_CANVAS[:2], {"width": "16.0", "height": "17.0"}),
        "19": ("RandomNoise", (5, "fixed"), {}),
        "20": ("BasicGuider", (), {"model": "18.0", "conditioning": "10.0"}),
        "21": ("KSamplerSelect", ("euler",), {}),
        "22": ("BasicScheduler", ("simple", 20, 1), {"model": "18.0"}),
        "3": (
            "SamplerCustomAdvanced",
            (),
            {"noise": "19.0", "guider": "20.0", "sampler": "21.0", "sigmas": "22.0", "latent_image": "5.0"},
        ),
    },
}
IN_THE_PACKAGE = """
default image2image lora lora_multiple inpaint_example inpain_model_outpainting embedding_example
gligen_textbox_example sdxl_simple_example sdxl_refiner_prompt_example sdxl_revision_text_prompts
sdxl_revision_zero_positive sdxlturbo_example hiresfix_latent_workflow esrgan_example
hiresfix_esrgan_workflow latent_upscale_different_prompt_model controlnet_example
2_pass_pose_worship depth_controlnet depth_t2i_adapter mixing_controlnets area_composition
area_composition_reversed area_composition_square_area_for_subject
""".split()
"""The workflows for SD 1, SD 2 and SDXL in `comfyui-workflow-templates` 0.1.25."""
NOT_CONVERTED = {"gligen_textbox_example", "sdxl_revision_text_prompts", "sdxl_revision_zero_positive"}
"""Those with GLIGEN or unCLIP, which Safelight does not have."""


def editor_workflow(rows: Rows) -> dict[str, Any]:
    """A workflow as the editor saves it."""
    links: list[list[Any]] = []
    nodes = []
    for id, (kind, values, wires) in rows.items():
        inputs = {}
        for slot, (name, source) in enumerate(wires.items()):
            origin, number = source.split(".")
            links.append([len(links) + 1, int(origin), int(number), int(id), slot, "*"])
            inputs[name] = ("*", len(links))
        nodes.append(node(int(id), kind, values, inputs=inputs, outputs=("A", "B", "C")))
    return {"nodes": nodes, "links": links, "version": 0.4}


def passes(found: Imported) -> bool:
    """Whether a graph has no placeholder, and check finds nothing wrong once its files are chosen."""
    given = {name: "some.png" for name, item in found.graph.inputs.items() if item.required}
    placeholders = [entry for entry in found.graph.nodes.values() if entry.type.startswith("comfy/")]
    problems = checked(found.graph, **given).problems
    return not placeholders and not [problem for problem in problems if problem.severity == "error"]


@pytest.mark.parametrize("kind", WORKFLOWS)
def test_a_workflow_imports_without_placeholders_and_passes_check(kind: str) -> None:
    found = imported(editor_workflow({**PLAIN, **WORKFLOWS[kind]}))
    assert passes(found)
    assert found.graph.outputs


def test_a_node_without_a_counterpart_does_not_pass() -> None:
    rows: Rows = {"6": ("GLIGENTextBoxApply", (), {"conditioning_to": "7.0"})}
    assert not passes(imported(editor_workflow({**PLAIN, **rows})))


@pytest.mark.slow
def test_templates_of_the_package_import_and_pass() -> None:
    package = pytest.importorskip("comfyui_workflow_templates")
    folder = Path(package.__file__).parent / "templates"
    trees: Mapping[str, Any] = {
        name: json.loads((folder / f"{name}.json").read_text()) for name in IN_THE_PACKAGE
    }
    failed = {name for name, tree in trees.items() if not passes(imported(tree))}
    assert failed == NOT_CONVERTED
