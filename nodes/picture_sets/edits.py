"""Edits of a picture: resize, crop, pad, mirror and augment. They are applied each time a picture is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Literal, Protocol, cast

from engine.values import Json

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Size = tuple[int, int]
"""A width and a height in pixels."""


class Edit(Protocol):
    """One change of a picture. An edit that moves pixels moves those of the mask in the same way."""

    def apply(self, picture: Picture, *, mask: bool) -> Picture:
        """Apply the edit to a picture of mode RGB, or with `mask` to one of mode L, which has no colours."""
        ...

    def size(self, size: Size) -> Size:
        """Return the size of the result for a picture of this size."""
        ...

    def text(self) -> str:
        """Describe the edit in words, for tables."""
        ...


@dataclass(frozen=True)
class Resize:
    """Resize to a width and a height with Lanczos' filter; the proportions may change."""

    width: int
    height: int

    def apply(self, picture: Picture, *, mask: bool) -> Picture:
        """Resize the picture."""
        from PIL import Image

        method = Image.Resampling.BOX if mask else Image.Resampling.LANCZOS
        size = (self.width, self.height)
        return picture if picture.size == size else picture.resize(size, method)

    def size(self, size: Size) -> Size:
        """The new size."""
        return self.width, self.height

    def text(self) -> str:
        """Describe the edit in words."""
        return f"resized to {self.width} x {self.height}"


@dataclass(frozen=True)
class Crop:
    """Cut out a rectangle, in pixels from the top left corner."""

    left: int
    top: int
    width: int
    height: int

    def apply(self, picture: Picture, *, mask: bool) -> Picture:
        """Cut out the rectangle."""
        return picture.crop((self.left, self.top, self.left + self.width, self.top + self.height))

    def size(self, size: Size) -> Size:
        """The size of the rectangle."""
        return self.width, self.height

    def text(self) -> str:
        """Describe the edit in words."""
        return f"cropped to {self.width} x {self.height} at {self.left}, {self.top}"


@dataclass(frozen=True)
class Pad:
    """Add a border of one colour; the widths are in pixels. The mask is black there."""

    left: int
    top: int
    right: int
    bottom: int
    red: int
    green: int
    blue: int

    def apply(self, picture: Picture, *, mask: bool) -> Picture:
        """Add the border."""
        from PIL import Image

        canvas = Image.new(
            picture.mode, self.size(picture.size), 0 if mask else (self.red, self.green, self.blue)
        )
        canvas.paste(picture, (self.left, self.top))
        return canvas

    def size(self, size: Size) -> Size:
        """The size with the border."""
        return size[0] + self.left + self.right, size[1] + self.top + self.bottom

    def text(self) -> str:
        """Describe the edit in words."""
        return f"padded by {self.left}, {self.top}, {self.right}, {self.bottom}"


@dataclass(frozen=True)
class Mirror:
    """Mirror a picture: left to right, top to bottom, or both, which turns it by 180 degrees."""

    axis: Literal["horizontal", "vertical", "both"]

    def apply(self, picture: Picture, *, mask: bool) -> Picture:
        """Mirror the picture; no pixel changes its value."""
        from PIL import Image

        return picture.transpose(
            {
                "horizontal": Image.Transpose.FLIP_LEFT_RIGHT,
                "vertical": Image.Transpose.FLIP_TOP_BOTTOM,
                "both": Image.Transpose.ROTATE_180,
            }[self.axis]
        )

    def size(self, size: Size) -> Size:
        """The same size."""
        return size

    def text(self) -> str:
        """Describe the edit in words."""
        return {
            "horizontal": "mirrored",
            "vertical": "mirrored top to bottom",
            "both": "turned by 180 degrees",
        }[self.axis]


@dataclass(frozen=True)
class Augment:
    """Rotate, enlarge and recolour a picture slightly. Its size stays, and no corner becomes empty."""

    angle: float = 0.0
    """The rotation in degrees, clockwise."""
    zoom: float = 1.0
    """The enlargement around the middle, 1 or more, in addition to the one that hides the corners."""
    brightness: float = 1.0
    """The factor of the brightness; 1 changes nothing. The next two are alike."""
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    """The rotation of the hue, from -0.5 to 0.5 of the colour wheel."""

    def apply(self, picture: Picture, *, mask: bool) -> Picture:
        """Rotate and enlarge the picture around its middle; a mask keeps its levels."""
        from PIL import Image, ImageEnhance

        width, height = picture.size
        if self.angle or self.zoom != 1:
            angle = math.radians(self.angle)
            scale = 1 / (self.zoom * hidden_corners(self.angle, picture.size))
            cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
            x, y = width / 2, height / 2
            matrix = (cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y)
            method = Image.Resampling.BILINEAR if mask else Image.Resampling.BICUBIC
            picture = picture.transform(picture.size, Image.Transform.AFFINE, matrix, method)
        if mask:
            return picture
        for enhance, factor in (
            (ImageEnhance.Brightness, self.brightness),
            (ImageEnhance.Contrast, self.contrast),
            (ImageEnhance.Color, self.saturation),
        ):
            if factor != 1:
                picture = enhance(picture).enhance(factor)
        return _with_hue(picture, self.hue) if self.hue else picture

    def size(self, size: Size) -> Size:
        """The same size."""
        return size

    def text(self) -> str:
        """Describe the edit by the numbers that change the picture."""
        numbers = {
            "rotated by": (self.angle, 0.0),
            "zoom": (self.zoom, 1.0),
            "brightness": (self.brightness, 1.0),
            "contrast": (self.contrast, 1.0),
            "saturation": (self.saturation, 1.0),
            "hue": (self.hue, 0.0),
        }
        changed = [f"{name} {value:.3g}" for name, (value, none) in numbers.items() if value != none]
        return ", ".join(changed) or "unchanged copy"


def hidden_corners(angle: float, size: Size) -> float:
    """Return the factor of enlargement that a rotation needs, so that no corner is empty afterwards.

    Args:
        angle: the rotation in degrees.
        size: the width and height of the picture.
    """
    cos, sin = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    width, height = size
    return max(cos + sin * height / width, cos + sin * width / height)


def _with_hue(picture: Picture, turn: float) -> Picture:
    from PIL import Image

    hue, saturation, value = picture.convert("HSV").split()
    moved = hue.point([(level + round(turn * 256)) % 256 for level in range(256)])
    return Image.merge("HSV", (moved, saturation, value)).convert("RGB")


_KINDS: dict[str, type[Edit]] = {
    "resize": Resize,
    "crop": Crop,
    "pad": Pad,
    "mirror": Mirror,
    "augment": Augment,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def edits_as_json(edits: Sequence[Edit]) -> Json:
    """Convert edits to JSON: a list of `[kind, numbers...]`."""
    return [[_NAMES[type(edit)], *cast("tuple[Json, ...]", astuple(cast("Resize", edit)))] for edit in edits]


def edits_from_json(plain: Sequence[Sequence[Json]]) -> tuple[Edit, ...]:
    """Restore edits from what `edits_as_json` returned."""
    return tuple(_KINDS[cast(str, kind)](*values) for kind, *values in plain)


def edited(picture: Picture, edits: Sequence[Edit], *, mask: bool = False) -> Picture:
    """Apply edits to a picture in order.

    Args:
        picture: a picture of mode RGB, or of mode L for a mask.
        edits: the edits.
        mask: True for a mask, whose levels are not colours.
    """
    for edit in edits:
        picture = edit.apply(picture, mask=mask)
    return picture


def size_after(size: Size, edits: Sequence[Edit]) -> Size:
    """Return the size of a picture after edits."""
    for edit in edits:
        size = edit.size(size)
    return size
