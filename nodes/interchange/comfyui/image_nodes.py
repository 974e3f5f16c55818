"""ComfyUI's node types for pictures, masks and upscale models, and how each is converted."""

from __future__ import annotations

from collections.abc import Callable

from engine.document.graph import Entry, Literal
from engine.node import Node
from nodes.image.crop import CropImage, CropMask
from nodes.image.effects import Blend, BlurImage, Composite, InvertImage, SolidImage
from nodes.image.lists import JoinImages
from nodes.image.load_image import LoadMask
from nodes.image.mask import (
    CombineMasks,
    FadeMaskEdges,
    GrowMask,
    ImageToMask,
    InvertMask,
    MaskFromColor,
    MaskToImage,
    SolidMask,
    ThresholdMask,
)
from nodes.image.size import FlipImage, PadImage, ResizeImage, RotateImage, ScaleImage
from nodes.image.upscale import LoadUpscaler, UpscaleImage
from nodes.interchange.comfyui.conversion import ComfyConversion
from nodes.interchange.comfyui.graph_data import ComfyNode
from nodes.interchange.comfyui.node_type import NodeType, one_of, renamed
from nodes.interchange.graph_from_settings import entry
from nodes.interchange.import_problems import one_line
from nodes.interchange.local_files import bare_name

METHODS = {
    "nearest-exact": "nearest",
    "bilinear": "bilinear",
    "area": "area",
    "bicubic": "bicubic",
}
"""Our names of ComfyUI's methods; `lanczos` is the default."""
_SAME_METHODS = ("nearest-exact", "lanczos")
"""The methods that give the same picture. ComfyUI computes the others without averaging over pixels."""
_MODES = {
    "normal": "normal",
    "multiply": "multiply",
    "screen": "screen",
    "overlay": "overlay",
    "soft_light": "soft light",
    "difference": "subtract",  # ComfyUI subtracts and cuts off below 0
}
_OPERATIONS = {
    "multiply": "multiply",
    "add": "add",
    "subtract": "subtract",
    "and": "intersection",
    "or": "union",
    "xor": "difference",
}
_ANGLES = {"none": 0, "90 degrees": 90, "180 degrees": 180, "270 degrees": 270}
_FLIPS = {"x-axis: vertically": "vertical", "y-axis: horizontally": "horizontal"}


def _method(made: ComfyConversion, node: ComfyNode) -> str | None:
    method = made.value(node, "upscale_method")
    if method is not None and method not in _SAME_METHODS:
        used = METHODS.get(method, "lanczos") if isinstance(method, str) else "lanczos"
        message = f"{node.type}: {used} is used for {one_line(method)}, so the picture differs slightly"
        made.problems.warn("other_method", message)
    return METHODS.get(method) if isinstance(method, str) else None


def _resize(made: ComfyConversion, node: ComfyNode) -> Entry:
    image, width, height = (made.bind(node, name) for name in ("image", "width", "height"))
    fit = "crop" if made.value(node, "crop") == "center" else "stretch"
    return entry(ResizeImage, image=image, width=width, height=height, fit=fit, method=_method(made, node))


def _has_a_side(made: ComfyConversion, node: ComfyNode) -> bool:
    """Return whether an ImageScale sets a side. Without one, ComfyUI does not change the picture."""
    return (made.value(node, "width"), made.value(node, "height")) != (0, 0)


def _scale(made: ComfyConversion, node: ComfyNode) -> Entry:
    image, factor = made.bind(node, "image"), made.bind(node, "scale_by")
    return entry(ScaleImage, image=image, factor=factor, method=_method(made, node))


def _cropped(node_type: type[Node], value: str) -> Callable[[ComfyConversion, ComfyNode], Entry]:
    """Make the conversion of a crop; as in ComfyUI, it keeps the part that is inside the picture."""

    def convert(made: ComfyConversion, node: ComfyNode) -> Entry:
        box = {name: made.bind(node, name) for name in ("x", "y", "width", "height")}
        return entry(node_type, **{value: made.bind(node, value)}, **box, outside="clip")

    return convert


def _picture(made: ComfyConversion, node: ComfyNode) -> Entry:
    loaded = made.picture(made.text(node, "image").removesuffix(" [input]"))
    loaded.inputs["transparent"] = Literal("keep")
    return loaded


def _mask_file(made: ComfyConversion, node: ComfyNode) -> Entry:
    loaded = made.picture(made.text(node, "image").removesuffix(" [input]"))
    return entry(LoadMask, image=loaded.inputs["image"], channel=made.value(node, "channel"))


def _pad(made: ComfyConversion, node: ComfyNode) -> Entry:
    sides = {name: made.bind(node, name) for name in ("left", "top", "right", "bottom")}
    return entry(PadImage, image=made.bind(node, "image"), **sides, feather=made.bind(node, "feathering"))


def _grow(made: ComfyConversion, node: ComfyNode) -> Entry:
    shape = "square" if made.value(node, "tapered_corners") is False else "diamond"
    return entry(GrowMask, mask=made.bind(node, "mask"), pixels=made.bind(node, "expand"), shape=shape)


def _combine(made: ComfyConversion, node: ComfyNode) -> Entry:
    operation = made.value(node, "operation")
    if operation in ("and", "or", "xor"):
        message = f"MaskComposite: ComfyUI makes soft masks hard before {operation}; here they stay soft"
        made.problems.warn("soft_masks", message)
    return entry(
        CombineMasks,
        base=made.bind(node, "destination"),
        other=made.bind(node, "source"),
        operation=_OPERATIONS[operation],
        x=made.bind(node, "x"),
        y=made.bind(node, "y"),
    )


def _blend(made: ComfyConversion, node: ComfyNode) -> Entry:
    return entry(
        Blend,
        base=made.bind(node, "image1"),
        top=made.bind(node, "image2"),
        mode=_MODES[made.value(node, "blend_mode")],
        opacity=made.bind(node, "blend_factor"),
    )


def _join(made: ComfyConversion, node: ComfyNode) -> Entry:
    return entry(JoinImages, first=made.bind(node, "image1"), second=made.bind(node, "image2"), fit="crop")


def _solid(made: ComfyConversion, node: ComfyNode) -> Entry:
    sides = {name: made.bind(node, name) for name in ("width", "height")}
    return entry(SolidImage, **sides, batch=made.bind(node, "batch_size"), color=_color(made, node))


def _color_mask(made: ComfyConversion, node: ComfyNode) -> Entry:
    return entry(MaskFromColor, image=made.bind(node, "image"), color=_color(made, node), tolerance=0)


def _color(made: ComfyConversion, node: ComfyNode) -> str:
    return f"#{made.value(node, 'color'):06x}"


def _has_color(made: ComfyConversion, node: ComfyNode) -> bool:
    color = made.value(node, "color")
    return type(color) is int and 0 <= color <= 0xFFFFFF


def _rotate(made: ComfyConversion, node: ComfyNode) -> Entry:
    return entry(RotateImage, image=made.bind(node, "image"), angle=_ANGLES[made.value(node, "rotation")])


def _flip(made: ComfyConversion, node: ComfyNode) -> Entry:
    return entry(FlipImage, image=made.bind(node, "image"), direction=_FLIPS[made.value(node, "flip_method")])


def _upscaler(made: ComfyConversion, node: ComfyNode) -> Entry:
    name = made.text(node, "model_name")
    return entry(LoadUpscaler, upscaler=made.files.upscaler(name) or bare_name(name))


_SAME = {name: name for name in ("x", "y")}
_SIDES = {name: name for name in ("left", "top", "right", "bottom")}
_COMPOSITE = renamed(Composite, base="destination", top="source", mask="mask", **_SAME)
_CHANNELS = ("red", "green", "blue")

IMAGE_NODE_TYPES = {
    "CropMask": NodeType("crop", _cropped(CropMask, "mask")),
    "EmptyImage": NodeType("solid", _solid, fits=_has_color),
    "FeatherMask": NodeType("fade", renamed(FadeMaskEdges, mask="mask", **_SIDES)),
    "GrowMask": NodeType("grow", _grow),
    "ImageBatch": NodeType("join", _join),
    "ImageBlend": NodeType("blend", _blend, fits=one_of("blend_mode", *_MODES)),
    "ImageBlur": NodeType("blur", renamed(BlurImage, image="image", sigma="sigma", reach="blur_radius")),
    "ImageColorToMask": NodeType("mask", _color_mask, fits=_has_color),
    "ImageCompositeMasked": NodeType("composite", _COMPOSITE, fits=one_of("resize_source", False, None)),
    "ImageCrop": NodeType("crop", _cropped(CropImage, "image")),
    "ImageFlip": NodeType("flip", _flip, fits=one_of("flip_method", *_FLIPS)),
    "ImageInvert": NodeType("invert", renamed(InvertImage, image="image")),
    "ImagePadForOutpaint": NodeType("pad", _pad, ("image", "mask")),
    "ImageRotate": NodeType("rotate", _rotate, fits=one_of("rotation", *_ANGLES)),
    "ImageScale": NodeType("resize", _resize, fits=_has_a_side),
    "ImageScaleBy": NodeType("scale", _scale),
    "ImageToMask": NodeType(
        "mask", renamed(ImageToMask, image="image", channel="channel"), fits=one_of("channel", *_CHANNELS)
    ),
    "ImageUpscaleWithModel": NodeType(
        "upscale", renamed(UpscaleImage, upscaler="upscale_model", image="image")
    ),
    "InvertMask": NodeType("invert", renamed(InvertMask, mask="mask")),
    "LoadImage": NodeType("picture", _picture, ("out", "alpha"), inverted=("alpha",)),
    "LoadImageMask": NodeType("mask", _mask_file, fits=one_of("channel", *_CHANNELS)),
    "MaskComposite": NodeType("combine", _combine, fits=one_of("operation", *_OPERATIONS)),
    "MaskToImage": NodeType("picture", renamed(MaskToImage, mask="mask")),
    "SolidMask": NodeType("mask", renamed(SolidMask, width="width", height="height", level="value")),
    "ThresholdMask": NodeType("threshold", renamed(ThresholdMask, mask="mask", level="value")),
    "UpscaleModelLoader": NodeType("upscaler", _upscaler),
}
"""ComfyUI's node types for pictures, masks and upscale models."""
