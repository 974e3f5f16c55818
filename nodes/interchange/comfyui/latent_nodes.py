"""ComfyUI's node types for latents and for inpainting, and how each is converted."""

from __future__ import annotations

from typing import Any

from engine.document.graph import Entry, Literal
from nodes.interchange.comfyui.conversion import ComfyConversion
from nodes.interchange.comfyui.graph_data import ComfyNode
from nodes.interchange.comfyui.node_type import NodeType, one_of, renamed
from nodes.interchange.graph_from_settings import entry
from nodes.latent.inpaint import EncodeForInpainting
from nodes.latent.latents import (
    SCALE,
    CompositeLatent,
    CropLatent,
    FlipLatent,
    JoinLatents,
    LatentFromBatch,
    MaskLatent,
    RepeatLatent,
    ResizeLatent,
    RotateLatent,
    ScaleLatent,
)

SMALLEST = 64
"""The least side of a latent in pixels, here and in ComfyUI's LatentUpscale."""
METHODS = {
    "nearest-exact": "nearest",
    "bilinear": "bilinear",
    "area": "area",
    "bicubic": "bicubic",
    "bislerp": "bislerp",
}
"""Our names of ComfyUI's methods."""
_ANGLES = {"90 degrees": "90", "180 degrees": "180", "270 degrees": "270"}
_FLIPS = {"x-axis: vertically": "vertical", "y-axis: horizontally": "horizontal"}


def _whole_cells(made: ComfyConversion, node: ComfyNode, name: str, least: int = 0) -> Any:
    """Return a number of pixels, rounded down to whole latent cells as in ComfyUI."""
    pixels = made.bind(node, name)
    if isinstance(pixels, Literal) and type(pixels.value) is int:
        return Literal(max(least, pixels.value // SCALE * SCALE))
    return pixels


def _resize(made: ComfyConversion, node: ComfyNode) -> Entry:
    sides = {name: _whole_cells(made, node, name, SMALLEST) for name in ("width", "height")}
    return entry(
        ResizeLatent,
        latent=made.bind(node, "samples"),
        **sides,
        method=METHODS[made.value(node, "upscale_method")],
        fit="crop" if made.value(node, "crop") == "center" else None,
    )


def _has_sides_and_a_method(made: ComfyConversion, node: ComfyNode) -> bool:
    """Return whether a LatentUpscale sets both sides and a known method.

    From a side of 0, ComfyUI would compute that side by the proportions, which ResizeLatent does not do.
    """
    sides = (made.value(node, "width"), made.value(node, "height"))
    return 0 not in sides and made.value(node, "upscale_method") in METHODS


def _scale(made: ComfyConversion, node: ComfyNode) -> Entry:
    method = METHODS[made.value(node, "upscale_method")]
    latent, factor = made.bind(node, "samples"), made.bind(node, "scale_by")
    return entry(ScaleLatent, latent=latent, factor=factor, method=method)


def _crop(made: ComfyConversion, node: ComfyNode) -> Entry:
    box = {name: _whole_cells(made, node, name) for name in ("width", "height", "x", "y")}
    return entry(CropLatent, latent=made.bind(node, "samples"), **box)


def _composite(made: ComfyConversion, node: ComfyNode) -> Entry:
    masked = node.type == "LatentCompositeMasked"
    base, top = ("destination", "source") if masked else ("samples_to", "samples_from")
    return entry(
        CompositeLatent,
        base=made.bind(node, base),
        top=made.bind(node, top),
        mask=made.bind(node, "mask") if masked else None,
        **{name: _whole_cells(made, node, name) for name in ("x", "y")},
        feather=None if masked else _whole_cells(made, node, "feather"),
    )


def _flip(made: ComfyConversion, node: ComfyNode) -> Entry:
    direction = _FLIPS[made.value(node, "flip_method")]
    return entry(FlipLatent, latent=made.bind(node, "samples"), direction=direction)


def _rotate(made: ComfyConversion, node: ComfyNode) -> Entry:
    return entry(RotateLatent, latent=made.bind(node, "samples"), angle=_ANGLES[made.value(node, "rotation")])


def _inpaint(made: ComfyConversion, node: ComfyNode) -> Entry:
    vae, image, mask = (made.bind(node, name) for name in ("vae", "pixels", "mask"))
    grow = made.bind(node, "grow_mask_by")
    return entry(EncodeForInpainting, vae=vae, image=image, mask=mask, content="grey", grow=grow)


def _for_inpainting_model(made: ComfyConversion, node: ComfyNode) -> Entry:
    vae, image, mask = (made.bind(node, name) for name in ("vae", "pixels", "mask"))
    return entry(EncodeForInpainting, vae=vae, image=image, mask=mask, grow=0, for_inpainting_model=True)


LATENT_NODE_TYPES = {
    # Its first two outputs are the prompts, which pass; see `wires.PASSED`.
    "InpaintModelConditioning": NodeType(
        "inpaint", _for_inpainting_model, ("positive", "negative", "out"), one_of("noise_mask", True, None)
    ),
    "LatentBatch": NodeType("batch", renamed(JoinLatents, first="samples1", second="samples2")),
    "LatentComposite": NodeType("composite", _composite),
    "LatentCompositeMasked": NodeType("composite", _composite, fits=one_of("resize_source", False, None)),
    "LatentCrop": NodeType("crop", _crop),
    "LatentFlip": NodeType("flip", _flip, fits=one_of("flip_method", *_FLIPS)),
    "LatentFromBatch": NodeType(
        "picked", renamed(LatentFromBatch, latent="samples", first="batch_index", count="length")
    ),
    "LatentRotate": NodeType("rotate", _rotate, fits=one_of("rotation", *_ANGLES)),
    "LatentUpscale": NodeType("resize", _resize, fits=_has_sides_and_a_method),
    "LatentUpscaleBy": NodeType("scale", _scale, fits=one_of("upscale_method", *METHODS)),
    "RepeatLatentBatch": NodeType("repeat", renamed(RepeatLatent, latent="samples", times="amount")),
    "SetLatentNoiseMask": NodeType("masked", renamed(MaskLatent, latent="samples", mask="mask")),
    "VAEEncodeForInpaint": NodeType("inpaint", _inpaint),
}
"""ComfyUI's node types for latents and for inpainting."""
