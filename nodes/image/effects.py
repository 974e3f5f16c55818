"""Nodes that change or combine the colours of pictures: blend, composite, levels, blur, invert, solid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import Advanced, Range
from nodes.node_problem import node_problem
from nodes.pixels.choices import BlendMode
from nodes.pixels.colors import rgb
from nodes.pixels.sizes import MAX_SIDE, common_count, require_room
from nodes.values import Image, Mask

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray


class Blend(Node, category="image", passes={"out": "base"}, aliases=("ImageBlend", "Merge")):
    """Blend a picture over another of the same size, with a blend mode."""

    base: Image
    top: Image
    mode: BlendMode = "normal"
    """The blend mode, as in Photoshop and CSS. `add` and `subtract` add and subtract the channel values."""
    opacity: Annotated[float, Range(0, 1, step=0.05)] = 1.0
    """The opacity of the blended picture, 0 to 1."""
    mask: Mask | None = None
    """Where to blend; everywhere without a mask."""

    def run(self, ctx: Context) -> Image:
        """Blend each picture of the batches.

        Raises:
            NodeError: the sizes or the numbers of pictures do not match.
        """
        import numpy

        from nodes.pixels.blend_modes import BLEND_MODES
        from nodes.pixels.levels import to_levels, to_pixels

        if self.base.pixels.shape[1:] != self.top.pixels.shape[1:]:
            raise _other_size("top", self.top.pixels, self.base.pixels)
        opacity = _opacity(self.mask, self.top.pixels, self.opacity)
        with node_problem(input="top"):
            count = common_count([len(self.base.pixels), len(self.top.pixels), len(opacity)])
        blended = []
        for n in ctx.track(count, unit="pictures"):
            base, top = (to_levels(image.pixels[n % len(image.pixels)]) for image in (self.base, self.top))
            mixed = BLEND_MODES[self.mode](base, top).astype(numpy.float32)
            blended.append(to_pixels(base + (mixed - base) * opacity[n % len(opacity)]))
        return Image(numpy.stack(blended))


class Composite(Node, category="image", passes={"out": "base"}, aliases=("ImageCompositeMasked", "Over")):
    """Place a picture over another, through a mask."""

    base: Image
    top: Image
    x: Annotated[int, Range(-MAX_SIDE, MAX_SIDE)] = 0
    """Where the left side of `top` lies in `base`, in pixels. Parts outside `base` are cut off."""
    y: Annotated[int, Range(-MAX_SIDE, MAX_SIDE)] = 0
    """Where the upper side of `top` lies in `base`, in pixels."""
    opacity: Annotated[float, Range(0, 1, step=0.05)] = 1.0
    """How opaque `top` is, 0 to 1."""
    mask: Mask | None = None
    """Where `top` is opaque, such as the output `alpha` of LoadImage; everywhere without a mask."""

    def run(self, ctx: Context) -> Image:
        """Place the pictures of one batch over those of the other.

        Raises:
            NodeError: `top` lies outside `base`, or the sizes or numbers of pictures do not match.
        """
        from nodes.pixels.levels import to_levels, to_pixels

        opacity = _opacity(self.mask, self.top.pixels, self.opacity)
        with node_problem(input="top"):
            count = common_count([len(self.base.pixels), len(self.top.pixels), len(opacity)])
        _, height, width, _ = self.base.pixels.shape
        _, top_height, top_width, _ = self.top.pixels.shape
        rows = slice(max(0, self.y), min(height, self.y + top_height))
        columns = slice(max(0, self.x), min(width, self.x + top_width))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            message = f"at {self.x}, {self.y} the picture lies outside the base, which is {width} x {height}"
            raise NodeError(message, hint="change x and y", input="x", code="outside")
        inner = (
            slice(rows.start - self.y, rows.stop - self.y),
            slice(columns.start - self.x, columns.stop - self.x),
        )
        pixels = self.base.pixels.repeat(count // len(self.base.pixels), 0)
        for n in range(count):
            base = to_levels(pixels[n, rows, columns])
            top = to_levels(self.top.pixels[n % len(self.top.pixels)][inner])
            pixels[n, rows, columns] = to_pixels(base + (top - base) * opacity[n % len(opacity)][inner])
        return Image(pixels)


class Levels(Node, category="image", passes={"out": "image"}):
    """Set the black point, the white point and the gamma of a picture."""

    image: Image
    black: Annotated[int, Range(0, 254)] = 0
    """The level that becomes black, 0 to 254."""
    white: Annotated[int, Range(1, 255)] = 255
    """The level that becomes white, 1 to 255; above `black`."""
    gamma: Annotated[float, Range(0.1, 10, step=0.05)] = 1.0
    """Above 1 the middle tones become brighter, below 1 darker."""
    output_black: Annotated[int, Range(0, 255)] = 0
    """What black becomes, 0 to 255."""
    output_white: Annotated[int, Range(0, 255)] = 255
    """What white becomes, 0 to 255. Below `output_black`, the picture is inverted."""
    channel: Literal["all", "red", "green", "blue"] = "all"
    """The channel to change."""

    def run(self, ctx: Context) -> Image:
        """Change each picture of the batch by a table of 256 levels.

        Raises:
            NodeError: `white` is not above `black`.
        """
        import numpy

        if self.white <= self.black:
            message = f"white is {self.white}, which is not above black, {self.black}"
            raise NodeError(message, hint="raise white or lower black", input="white")
        shares = ((numpy.arange(256) - self.black) / (self.white - self.black)).clip(0, 1)
        shares = shares ** (1 / self.gamma)
        levels = self.output_black + shares * (self.output_white - self.output_black)
        table = (levels + 0.5).astype(numpy.uint8)
        if self.channel == "all":
            return Image(table[self.image.pixels])
        pixels = self.image.pixels.copy()
        channel = ("red", "green", "blue").index(self.channel)
        pixels[..., channel] = table[pixels[..., channel]]
        return Image(pixels)


class BlurImage(Node, category="image", passes={"out": "image"}, aliases=("ImageBlur", "GaussianBlur")):
    """Blur a picture (Gaussian blur)."""

    image: Image
    sigma: Annotated[float, Range(0, 250, step=0.5)] = 4.0
    """The strength, as the standard deviation in pixels: about the radius of other tools. 0 changes
    nothing."""
    reach: Annotated[int, Range(0, 1000), Advanced] = 0
    """The radius of the kernel in pixels. 0: three times `sigma`."""

    def run(self, ctx: Context) -> Image:
        """Blur each picture of the batch; pixels beyond the edges are mirrored."""
        import numpy

        from nodes.pixels.filters import gaussian_blur
        from nodes.pixels.levels import to_levels, to_pixels

        if self.sigma == 0:
            return self.image
        blurred = [
            to_pixels(gaussian_blur(to_levels(picture[None]), self.sigma, self.reach))
            for picture in ctx.track(self.image.pixels, unit="pictures")
        ]
        return Image(numpy.concatenate(blurred))


class InvertImage(Node, category="image", passes={"out": "image"}, aliases=("ImageInvert", "Negative")):
    """Invert the colours of a picture."""

    image: Image

    def run(self, ctx: Context) -> Image:
        return Image(255 - self.image.pixels)


class SolidImage(Node, category="image", libraries=("pillow",), aliases=("EmptyImage", "Constant")):
    """Create a picture of one colour."""

    width: Annotated[int, Range(1, MAX_SIDE, step=8)] = 512
    """The width in pixels."""
    height: Annotated[int, Range(1, MAX_SIDE, step=8)] = 512
    """The height in pixels."""
    color: str = "#808080"
    """The colour, such as `#808080` or `white`."""
    batch: Annotated[int, Range(1, 4096)] = 1
    """The number of pictures."""

    def run(self, ctx: Context) -> Image:
        """Fill the pictures.

        Raises:
            NodeError: the pictures would be too large, or the colour is invalid.
        """
        import numpy

        with node_problem(input="width"):
            require_room(self.batch, self.width, self.height)
        with node_problem(input="color", hint="write it as #808080, or as a name such as white"):
            return Image(numpy.full((self.batch, self.height, self.width, 3), rgb(self.color), numpy.uint8))


def _opacity(mask: Mask | None, pixels: NDArray[numpy.uint8], opacity: float) -> NDArray[numpy.float32]:
    """Return the opacity of each pixel: float32 [count, height, width, 1].

    Raises:
        NodeError: the mask has another size than the pictures.
    """
    import numpy

    if mask is None:
        return numpy.full((1, *pixels.shape[1:3], 1), opacity, numpy.float32)
    if mask.levels.shape[1:] != pixels.shape[1:3]:
        raise _other_size("mask", mask.levels, pixels)
    return mask.levels[..., None] * numpy.float32(opacity)


def _other_size(
    input: str, found: NDArray[numpy.uint8] | NDArray[numpy.float32], wanted: NDArray[numpy.uint8]
) -> NodeError:
    sizes = [f"{array.shape[2]} x {array.shape[1]}" for array in (found, wanted)]
    hint = f"put a {'ResizeMask' if input == 'mask' else 'ResizeImage'} before it"
    message = f"{input} is {sizes[0]}, but must be {sizes[1]}"
    return NodeError(message, hint=hint, input=input, code="other_size")
