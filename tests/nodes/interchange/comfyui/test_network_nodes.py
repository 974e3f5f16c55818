"""ComfyUI's loaders of single networks, and its prompts for SDXL, made into nodes of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodes.interchange.comfyui.network_nodes import NETWORK_NODE_TYPES
from nodes.interchange.comfyui.widget_values import WIDGETS
from tests.nodes.interchange.comfyui.test_latent_nodes import LOADER
from tests.nodes.interchange.other_tools import codes, imported, values

SIZES = {"width": 2048, "height": 1024, "crop_w": 8, "crop_h": 16, "target_width": 1024, "target_height": 768}
SD3_TEXTS = ("clip_l", "clip_g", "t5xxl")
EXAMPLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "CLIPLoader": ({"clip_name": "l.safetensors", "type": "stable_diffusion"}, {"encoder": "l.safetensors"}),
    "CLIPTextEncodeFlux": (
        {"clip": ["1", 1], "clip_l": "a cat", "t5xxl": "a cat", "guidance": 4.5},
        {"prompt": "prompt-9.out", "guidance": 4.5},
    ),
    "CLIPTextEncodeSD3": (
        {"clip": ["1", 1], **dict.fromkeys(SD3_TEXTS, "a cat"), "empty_padding": "none"},
        {"encoder": "model-1.encoder", "prompt": "a cat", "dialect": "comfy"},
    ),
    "CLIPTextEncodeSDXL": (
        {"clip": ["1", 1], **SIZES, "text_g": "a cat", "text_l": "a cat"},
        {
            **{"prompt": "prompt-9.out", "original_width": 2048, "original_height": 1024, "crop_left": 8},
            **{"crop_top": 16, "target_width": 1024, "target_height": 768},
        },
    ),
    "CLIPTextEncodeSDXLRefiner": (
        {"clip": ["1", 1], "ascore": 6.5, "width": 1024, "height": 768, "text": "a cat"},
        {
            **{"prompt": "prompt-9.out", "original_width": 1024, "original_height": 768},
            "aesthetic_score": 6.5,
        },
    ),
    "DualCLIPLoader": (
        {"clip_name1": "g.safetensors", "clip_name2": "sub\\l.safetensors", "type": "sdxl"},
        {"encoder": "g.safetensors", "second": "l.safetensors"},
    ),
    "FluxGuidance": (
        {"conditioning": ["1", 1], "guidance": 2.5},
        {"prompt": "model-1.encoder", "guidance": 2.5},
    ),
    "ModelSamplingFlux": (
        {"model": ["1", 0], "max_shift": 1.15, "base_shift": 0.5, "width": 512, "height": 1024},
        {"model": "model-1.model", "shift": 2.232972},
    ),
    "ModelSamplingSD3": ({"model": ["1", 0], "shift": 5.0}, {"model": "model-1.model", "shift": 5.0}),
    "TripleCLIPLoader": (
        {"clip_name1": "l.safetensors", "clip_name2": "g.safetensors", "clip_name3": "t5.safetensors"},
        {"encoder": "l.safetensors", "second": "g.safetensors", "third": "t5.safetensors"},
    ),
    "UNETLoader": ({"unet_name": "u.safetensors", "weight_dtype": "default"}, {"unet": "u.safetensors"}),
    "VAELoader": ({"vae_name": "v.safetensors"}, {"vae": "v.safetensors"}),
}


def api(node_type: str, inputs: dict[str, Any]) -> dict[str, Any]:
    return {"1": LOADER, "9": {"class_type": node_type, "inputs": inputs}}


def test_every_converted_type_has_an_example() -> None:
    assert EXAMPLES.keys() == NETWORK_NODE_TYPES.keys()


@pytest.mark.parametrize("node_type", EXAMPLES)
def test_a_node_becomes_one_of_ours_with_its_settings(node_type: str, tmp_path: Path) -> None:
    inputs, expected = EXAMPLES[node_type]
    for name in ("text_encoders/l", "text_encoders/g", "text_encoders/t5", "unet/u", "vae/v"):
        file = tmp_path / "models" / f"{name}.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    found = imported(api(node_type, inputs), tmp_path)
    ids = [id for id in found.graph.nodes if id.endswith("-9") and not id.startswith("prompt")]
    assert [values(found.graph, id) for id in ids] == [expected]
    assert "missing_network" not in codes(found)
    settings = {name for name, value in inputs.items() if not isinstance(value, list)}
    assert settings <= set(WIDGETS[node_type])


@pytest.mark.parametrize(
    ("node_type", "changed"),
    [
        ("CLIPTextEncodeSDXL", {"text_l": "a dog"}),
        ("CLIPTextEncodeSD3", {"t5xxl": "a dog"}),
        ("CLIPTextEncodeFlux", {"t5xxl": "a dog"}),
        ("CLIPLoader", {"type": "flux"}),
        ("DualCLIPLoader", {"type": "hidream"}),
        ("ModelSamplingFlux", {"width": ["1", 2]}),
        ("ModelSamplingFlux", {"max_shift": 1000}),
    ],
)
def test_settings_without_counterpart_keep_a_placeholder(node_type: str, changed: dict[str, Any]) -> None:
    inputs, _ = EXAMPLES[node_type]
    graph = imported(api(node_type, {**inputs, **changed})).graph
    assert any(node.type.startswith("comfy/") for node in graph.nodes.values())


def test_two_text_encoders_are_loaded_for_flux(tmp_path: Path) -> None:
    for name in ("l", "t5"):
        file = tmp_path / "models" / "text_encoders" / f"{name}.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    inputs = {"clip_name1": "l.safetensors", "clip_name2": "t5.safetensors", "type": "flux"}
    found = imported(api("DualCLIPLoader", inputs), tmp_path)
    assert values(found.graph, "encoder-9") == {"encoder": "l.safetensors", "second": "t5.safetensors"}


def test_a_missing_file_is_named() -> None:
    assert "missing_network" in codes(imported(api("VAELoader", {"vae_name": "gone.safetensors"})))
