"""ComfyUI's nodes for pictures, masks and upscale models, made into nodes of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as pillow

from engine.check.check import check
from engine.document.graph import Graph
from engine.testing import output, run_graph
from nodes.interchange.comfyui.image_nodes import IMAGE_NODE_TYPES
from nodes.interchange.comfyui.widget_values import WIDGETS
from tests.nodes.interchange.other_tools import REGISTRY, codes, imported, values

SOLID = {
    "class_type": "EmptyImage",
    "inputs": {"width": 24, "height": 16, "batch_size": 1, "color": 0xFF8000},
}
MASK = {"class_type": "SolidMask", "inputs": {"value": 0.5, "width": 24, "height": 16}}
SAVE = {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["9", 0]}}
IMAGE, OTHER, A_MASK, B_MASK = ["1", 0], ["2", 0], ["3", 0], ["4", 0]

EXAMPLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "CropMask": (
        {"mask": A_MASK, "x": 1, "y": 2, "width": 3, "height": 4},
        {"mask": "mask-3.out", "x": 1, "y": 2, "width": 3, "height": 4, "outside": "clip"},
    ),
    "FeatherMask": (
        {"mask": A_MASK, "left": 1, "top": 2, "right": 3, "bottom": 4},
        {"mask": "mask-3.out", "left": 1, "top": 2, "right": 3, "bottom": 4},
    ),
    "GrowMask": (
        {"mask": A_MASK, "expand": -3, "tapered_corners": True},
        {"mask": "mask-3.out", "pixels": -3, "shape": "diamond"},
    ),
    "ImageBatch": (
        {"image1": IMAGE, "image2": OTHER},
        {"first": "solid-1.out", "second": "solid-2.out", "fit": "crop"},
    ),
    "ImageBlend": (
        {"image1": IMAGE, "image2": OTHER, "blend_factor": 0.5, "blend_mode": "soft_light"},
        {"base": "solid-1.out", "top": "solid-2.out", "opacity": 0.5, "mode": "soft light"},
    ),
    "ImageBlur": (
        {"image": IMAGE, "blur_radius": 3, "sigma": 1.5},
        {"image": "solid-1.out", "reach": 3, "sigma": 1.5},
    ),
    "ImageColorToMask": (
        {"image": IMAGE, "color": 0xFF8000},
        {"image": "solid-1.out", "color": "#ff8000", "tolerance": 0},
    ),
    "ImageCompositeMasked": (
        {"destination": IMAGE, "source": OTHER, "x": 4, "y": 5, "resize_source": False, "mask": A_MASK},
        {"base": "solid-1.out", "top": "solid-2.out", "x": 4, "y": 5, "mask": "mask-3.out"},
    ),
    "ImageCrop": (
        {"image": IMAGE, "width": 8, "height": 9, "x": 1, "y": 2},
        {"image": "solid-1.out", "width": 8, "height": 9, "x": 1, "y": 2, "outside": "clip"},
    ),
    "ImageFlip": (
        {"image": IMAGE, "flip_method": "x-axis: vertically"},
        {"image": "solid-1.out", "direction": "vertical"},
    ),
    "ImageInvert": ({"image": IMAGE}, {"image": "solid-1.out"}),
    "ImagePadForOutpaint": (
        {"image": IMAGE, "left": 8, "top": 0, "right": 16, "bottom": 0, "feathering": 40},
        {"image": "solid-1.out", "left": 8, "top": 0, "right": 16, "bottom": 0, "feather": 40},
    ),
    "ImageRotate": (
        {"image": IMAGE, "rotation": "270 degrees"},
        {"image": "solid-1.out", "angle": 270},
    ),
    "ImageScale": (
        {"image": IMAGE, "upscale_method": "nearest-exact", "width": 0, "height": 8, "crop": "disabled"},
        {"image": "solid-1.out", "method": "nearest", "width": 0, "height": 8, "fit": "stretch"},
    ),
    "ImageScaleBy": (
        {"image": IMAGE, "upscale_method": "lanczos", "scale_by": 1.5},
        {"image": "solid-1.out", "factor": 1.5},
    ),
    "ImageToMask": ({"image": IMAGE, "channel": "red"}, {"image": "solid-1.out", "channel": "red"}),
    "InvertMask": ({"mask": A_MASK}, {"mask": "mask-3.out"}),
    "MaskComposite": (
        {"destination": A_MASK, "source": B_MASK, "x": 1, "y": 2, "operation": "and"},
        {"base": "mask-3.out", "other": "mask-4.out", "x": 1, "y": 2, "operation": "intersection"},
    ),
    "MaskToImage": ({"mask": A_MASK}, {"mask": "mask-3.out"}),
    "ThresholdMask": ({"mask": A_MASK, "value": 0.25}, {"mask": "mask-3.out", "level": 0.25}),
}
WITH_FILES = {"LoadImage", "LoadImageMask", "UpscaleModelLoader", "ImageUpscaleWithModel"}


def around(node: dict[str, Any]) -> dict[str, Any]:
    """A workflow in which a node gets two pictures or two masks."""
    return {"1": SOLID, "2": SOLID, "3": MASK, "4": MASK, "5": node, "9": SOLID, "10": SAVE}


def converted(graph: Graph) -> str:
    (id,) = (id for id in graph.nodes if id.endswith("-5"))
    return id


def test_there_is_an_example_of_every_type() -> None:
    assert EXAMPLES.keys() | WITH_FILES | {"EmptyImage", "SolidMask"} == IMAGE_NODE_TYPES.keys()


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_node_becomes_its_counterpart(kind: str) -> None:
    inputs, wanted = EXAMPLES[kind]
    found = imported(around({"class_type": kind, "inputs": inputs}))
    id = converted(found.graph)
    assert values(found.graph, id) == wanted
    assert not check(found.graph, REGISTRY).problems
    assert set(codes(found)) <= {"missing_model", "soft_masks"}
    named = [name for name, value in inputs.items() if not isinstance(value, list)]
    assert list(WIDGETS.get(kind, ())) == named


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("ImageCompositeMasked", {"resize_source": True}),
        ("ImageToMask", {"channel": "alpha"}),
        ("ImageBlend", {"blend_mode": "new"}),
        ("MaskComposite", {"operation": "new"}),
        ("ImageRotate", {"rotation": "45 degrees"}),
        ("ImageScale", {"width": 0, "height": 0}),
        ("ImageColorToMask", {"color": -1}),
    ],
)
def test_a_node_that_does_something_else_is_kept_as_it_is(kind: str, changed: dict[str, Any]) -> None:
    found = imported(around({"class_type": kind, "inputs": {**EXAMPLES[kind][0], **changed}}))
    assert found.graph.nodes[converted(found.graph)].type == f"comfy/{kind}"


def test_another_way_to_scale_is_said() -> None:
    inputs = {**EXAMPLES["ImageScale"][0], "upscale_method": "bicubic"}
    found = imported(around({"class_type": "ImageScale", "inputs": inputs}))
    assert values(found.graph, converted(found.graph))["method"] == "bicubic"
    assert "other_method" in codes(found)


def test_the_mask_of_a_picture_is_where_it_is_transparent(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "inputs").mkdir(parents=True)
    layer = np.full((4, 8, 4), (200, 100, 50, 255), np.uint8)
    layer[:, 4:, 3] = 51
    pillow.fromarray(layer).save(home / "inputs" / "a.png")
    api = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png", "upload": "image"}},
        "2": {"class_type": "MaskToImage", "inputs": {"mask": ["1", 1]}},
        "3": {"class_type": "GrowMask", "inputs": {"mask": ["1", 1], "expand": 0, "tapered_corners": True}},
        "4": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["2", 0]}},
        "5": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    graph = imported(api, home).graph
    assert [node.type for node in graph.nodes.values()].count("InvertMask@1") == 1
    report = run_graph(graph, home=home)
    assert np.unique(output(report, "image").pixels[0, :, :4]).tolist() == [0]
    assert np.unique(output(report, "image").pixels[0, :, 4:]).tolist() == [204]
    assert output(report, "preview").pixels[0, 0, 7].tolist() == [200, 100, 50]


def test_an_upscale_model_is_found_by_its_name(tmp_path: Path) -> None:
    api = {
        "1": SOLID,
        "2": {"class_type": "UpscaleModelLoader", "inputs": {"model_name": "x4plus.pth"}},
        "3": {
            "class_type": "ImageUpscaleWithModel",
            "inputs": {"upscale_model": ["2", 0], "image": ["1", 0]},
        },
        "4": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["3", 0]}},
    }
    missing = imported(api, tmp_path)
    assert "missing_upscaler" in codes(missing)
    assert values(missing.graph, "upscaler-2") == {"upscaler": "x4plus.pth"}
    folder = tmp_path / "models" / "upscale_models" / "real"
    folder.mkdir(parents=True)
    (folder / "x4plus.pth").write_bytes(b"x")
    found = imported(api, tmp_path)
    assert "missing_upscaler" not in codes(found)
    assert values(found.graph, "upscaler-2") == {"upscaler": "real/x4plus.pth"}
    assert values(found.graph, "upscale-3") == {"upscaler": "upscaler-2.out", "image": "solid-1.out"}
