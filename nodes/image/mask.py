"""Nodes that create and change masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import Range
from nodes.node_problem import node_problem
from nodes.pixels.choices import Method, Shape
from nodes.pixels.sizes import MAX_SIDE, common_count, require_room
from nodes.values import Image, Mask

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

Softness = Annotated[int, Range(0, 255)]


class ImageToMask(Node, category="mask", converts="image"):
    """Use one channel of a picture as a mask; bright means on."""

    image: Image
    channel: Literal["luminance", "red", "green", "blue"] = "luminance"
    """The channel; `luminance` is the brightness by the weights of Rec. 709."""

    def run(self, ctx: Context) -> Mask:
        from nodes.pixels.levels import luminance, to_levels

        if self.channel == "luminance":
            return Mask(luminance(to_levels(self.image.pixels)).clip(0, 1))
        channel = ("red", "green", "blue").index(self.channel)
        return Mask(to_levels(self.image.pixels[..., channel]))


class MaskFromLuminance(Node, category="mask", aliases=("Threshold", "LumaKey")):
    """Select the parts of a picture by their brightness."""

    image: Image
    low: Annotated[int, Range(0, 255)] = 128
    """The darkest level that is selected, 0 to 255."""
    high: Annotated[int, Range(0, 255)] = 255
    """The brightest level that is selected, 0 to 255."""
    softness: Softness = 0
    """The number of levels outside the range over which the selection fades out; 0 for a hard mask."""

    def run(self, ctx: Context) -> Mask:
        """Compute the mask from the brightness of each pixel (Rec. 709).

        Raises:
            NodeError: `low` is above `high`.
        """
        import numpy

        from nodes.pixels.levels import luminance

        if self.low > self.high:
            message = f"low is {self.low}, which is above high, {self.high}"
            raise NodeError(message, hint="lower low or raise high", input="low")
        level = luminance(self.image.pixels.astype(numpy.float32)).round(3)
        return Mask(_fading(numpy.maximum(self.low - level, level - self.high), self.softness))


class MaskFromColor(Node, category="mask", libraries=("pillow",), aliases=("ImageColorToMask", "ColorRange")):
    """Select the parts of a picture that have a colour."""

    image: Image
    color: str = "#00ff00"
    """The colour to select, such as `#00ff00` or `white`."""
    tolerance: Annotated[int, Range(0, 255)] = 32
    """How far each channel may differ, 0 to 255; 0 selects exactly this colour."""
    softness: Softness = 0
    """The number of levels beyond the tolerance over which the selection fades out; 0 for a hard mask."""

    def run(self, ctx: Context) -> Mask:
        """Compute the mask from the channel of each pixel that differs most from the colour.

        Raises:
            NodeError: the colour is invalid.
        """
        import numpy

        from nodes.pixels.colors import rgb

        with node_problem(input="color", hint="write it as #00ff00, or as a name such as white"):
            color = numpy.array(rgb(self.color), numpy.int16)
        distance = numpy.abs(self.image.pixels.astype(numpy.int16) - color).max(-1)
        return Mask(_fading(distance.astype(numpy.float32) - self.tolerance, self.softness))


class SolidMask(Node, category="mask"):
    """Create a mask of one level."""

    width: Annotated[int, Range(1, MAX_SIDE, step=8)] = 512
    """The width in pixels."""
    height: Annotated[int, Range(1, MAX_SIDE, step=8)] = 512
    """The height in pixels."""
    level: Annotated[float, Range(0, 1, step=0.05)] = 1.0
    """The level: 0 is off, 1 is on."""

    def run(self, ctx: Context) -> Mask:
        """Fill the mask.

        Raises:
            NodeError: the mask would be too large.
        """
        import numpy

        with node_problem(input="width"):
            require_room(1, self.width, self.height)
        return Mask(numpy.full((1, self.height, self.width), self.level, numpy.float32))


class MaskToImage(Node, category="mask", converts="mask"):
    """Convert a mask to a grey picture; white means on."""

    mask: Mask

    def run(self, ctx: Context) -> Image:
        from nodes.pixels.levels import to_pixels

        return Image(to_pixels(self.mask.levels)[..., None].repeat(3, -1))


class InvertMask(Node, category="mask", passes={"out": "mask"}):
    """Invert a mask: on becomes off, and off becomes on."""

    mask: Mask

    def run(self, ctx: Context) -> Mask:
        return Mask(1 - self.mask.levels)


class GrowMask(Node, category="mask", passes={"out": "mask"}, aliases=("Dilate", "Erode", "Feather")):
    """Grow or shrink a mask, and soften its edges."""

    mask: Mask
    pixels: Annotated[int, Range(-1024, 1024)] = 8
    """How far the mask grows, in pixels; negative values shrink it."""
    shape: Shape = "round"
    """The shape into which a single point grows. ComfyUI uses `diamond`."""
    feather: Annotated[float, Range(0, 250, step=0.5)] = 0.0
    """The softness of the edges, as the standard deviation of a Gaussian blur in pixels."""

    def run(self, ctx: Context) -> Mask:
        from nodes.pixels.filters import gaussian_blur, grow

        levels = grow(self.mask.levels, self.pixels, self.shape, ctx.cancelled)
        if self.feather > 0:
            levels = gaussian_blur(levels, self.feather).clip(0, 1)
        return Mask(levels)


class ThresholdMask(Node, category="mask", passes={"out": "mask"}):
    """Make a soft mask hard: on where it is above a level, and off elsewhere."""

    mask: Mask
    level: Annotated[float, Range(0, 1, step=0.05)] = 0.5
    """The level; levels above it become on."""

    def run(self, ctx: Context) -> Mask:
        import numpy

        return Mask((self.mask.levels > self.level).astype(numpy.float32))


class FadeMaskEdges(Node, category="mask", passes={"out": "mask"}, aliases=("FeatherMask",)):
    """Fade a mask out towards the sides of the picture."""

    mask: Mask
    left: Annotated[int, Range(0, MAX_SIDE)] = 0
    """How far the fade reaches from the left side, in pixels."""
    top: Annotated[int, Range(0, MAX_SIDE)] = 0
    """How far the fade reaches from the upper side, in pixels."""
    right: Annotated[int, Range(0, MAX_SIDE)] = 0
    """How far the fade reaches from the right side, in pixels."""
    bottom: Annotated[int, Range(0, MAX_SIDE)] = 0
    """How far the fade reaches from the lower side, in pixels."""

    def run(self, ctx: Context) -> Mask:
        """Multiply with linear ramps `(distance + 1) / reach`, which are at most as long as the mask."""
        import numpy

        _, height, width = self.mask.levels.shape
        levels = self.mask.levels
        for reach, length, axis, back in (
            (self.left, width, 2, False),
            (self.right, width, 2, True),
            (self.top, height, 1, False),
            (self.bottom, height, 1, True),
        ):
            if reach:
                ramp = ((numpy.arange(length) + 1) / min(reach, length)).clip(0, 1).astype(numpy.float32)
                ramp = ramp[::-1] if back else ramp
                levels = levels * (ramp if axis == 2 else ramp[:, None])
        return Mask(levels)


class CombineMasks(Node, category="mask", passes={"out": "base"}, aliases=("MaskComposite",)):
    """Combine two masks."""

    base: Mask
    other: Mask
    operation: Literal["union", "intersection", "add", "subtract", "multiply", "difference"] = "union"
    """`union` is on where either mask is on, `intersection` where both are; `difference` where exactly one
    is. `add`, `subtract` and `multiply` compute with the levels and clip to 0 and 1."""
    x: Annotated[int, Range(-MAX_SIDE, MAX_SIDE)] = 0
    """Where the left side of `other` lies in `base`, in pixels. `base` is unchanged elsewhere."""
    y: Annotated[int, Range(-MAX_SIDE, MAX_SIDE)] = 0
    """Where the upper side of `other` lies in `base`, in pixels."""

    def run(self, ctx: Context) -> Mask:
        """Combine the masks of two batches.

        Raises:
            NodeError: `other` lies outside `base`, or the numbers of masks do not match.
        """
        import numpy

        with node_problem(input="other"):
            count = common_count([len(self.base.levels), len(self.other.levels)])
        _, height, width = self.base.levels.shape
        _, other_height, other_width = self.other.levels.shape
        rows = slice(max(0, self.y), min(height, self.y + other_height))
        columns = slice(max(0, self.x), min(width, self.x + other_width))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            message = f"at {self.x}, {self.y} the mask lies outside the base, which is {width} x {height}"
            raise NodeError(message, hint="change x and y", input="x", code="outside")
        levels = self.base.levels.repeat(count // len(self.base.levels), 0)
        base = levels[:, rows, columns]
        other = self.other.levels[
            :, rows.start - self.y : rows.stop - self.y, columns.start - self.x : columns.stop - self.x
        ]
        formulas: dict[str, Callable[..., NDArray[numpy.float32]]] = {
            "union": numpy.maximum,
            "intersection": numpy.minimum,
            "add": numpy.add,
            "subtract": numpy.subtract,
            "multiply": numpy.multiply,
            "difference": lambda one, two: numpy.abs(one - two),
        }
        combined = formulas[self.operation](base, other)
        levels[:, rows, columns] = combined.clip(0, 1)
        return Mask(levels)


class ResizeMask(Node, category="mask", libraries=("pillow",), passes={"out": "mask"}):
    """Resize a mask."""

    mask: Mask
    width: Annotated[int, Range(1, MAX_SIDE, step=8)] = 512
    """The new width in pixels."""
    height: Annotated[int, Range(1, MAX_SIDE, step=8)] = 512
    """The new height in pixels."""
    method: Method = "bilinear"
    """`nearest` keeps a hard mask hard; the other methods give soft edges."""

    def run(self, ctx: Context) -> Mask:
        """Resize each mask of the batch.

        Raises:
            NodeError: the result would be too large.
        """
        from nodes.pixels.resample import resize_levels

        with node_problem(input="width"):
            require_room(len(self.mask.levels), self.width, self.height)
        return Mask(resize_levels(self.mask.levels, self.width, self.height, self.method))


def _fading(distance: NDArray[numpy.float32], softness: int) -> NDArray[numpy.float32]:
    """Return 1 where `distance` is at most 0; it falls linearly to 0 at a distance of `softness` + 1."""
    import numpy

    return (1 - distance / (softness + 1)).clip(0, 1) if softness else (distance <= 0).astype(numpy.float32)
