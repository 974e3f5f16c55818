"""Nodes that change the size and geometry of pictures: resize, scale, pad, flip, rotate."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import Range
from nodes.node_problem import node_problem
from nodes.pixels.choices import Method
from nodes.pixels.colors import rgb
from nodes.pixels.sizes import MAX_SIDE, require_room
from nodes.values import Image, Mask

Side = Annotated[int, Range(0, MAX_SIDE, step=8)]


class ResizeImage(
    Node, category="image", version=2, libraries=("pillow",), passes={"out": "image"}, aliases=("ImageScale",)
):
    """Resize a picture."""

    image: Image
    width: Side = 512
    """The new width in pixels; 0 for the width that keeps the proportions at this height."""
    height: Side = 512
    """The new height in pixels; 0 for the height that keeps the proportions at this width."""
    fit: Literal["crop", "stretch", "inside", "fill"] = "crop"
    """`crop` keeps the proportions and cuts off the sides that do not fit; `stretch` changes the
    proportions; `inside` keeps the proportions and the whole picture, so that one side may become shorter;
    `fill` does so too, and continues the pixels at the edge to fill the size."""
    method: Method = "lanczos"
    """`lanczos` is sharpest; `bicubic` and `bilinear` are softer; `area` averages, for small sizes without
    ringing; `nearest` copies pixels, for pixel art."""
    linear_light: bool = False
    """Resize in linear light (gamma 1.0). Small bright details then keep their brightness."""

    def run(self, ctx: Context) -> Image:
        """Resize each picture of the batch.

        Raises:
            NodeError: the result would be too large, or both sides are 0.
        """
        from nodes.pixels.outpainting import centred
        from nodes.pixels.resample import centred_box, resize_pixels

        count, height, width, _ = self.image.pixels.shape
        if not self.width and not self.height:
            hint = "set the width, the height or both"
            raise NodeError("the width and the height are both 0", hint=hint, input="width")
        wanted_width = self.width or max(1, round(width * self.height / height))
        wanted_height = self.height or max(1, round(height * self.width / width))
        box = None
        if self.width and self.height and self.fit == "crop":
            box = centred_box(width, height, self.width, self.height)
        elif self.fit == "inside":
            scale = min(wanted_width / width, wanted_height / height)
            wanted_width, wanted_height = max(1, round(width * scale)), max(1, round(height * scale))
        with node_problem(input="width" if self.width else "height"):
            require_room(count, wanted_width, wanted_height)
        inner_width, inner_height = wanted_width, wanted_height
        if self.fit == "fill":  # rounded as A1111 does
            inner_width = max(1, min(wanted_width, width * wanted_height // height))
            inner_height = max(1, min(wanted_height, height * wanted_width // width))
        pixels = resize_pixels(
            self.image.pixels, inner_width, inner_height, self.method, box, linear=self.linear_light
        )
        return Image(centred(pixels, wanted_width, wanted_height) if self.fit == "fill" else pixels)


class ScaleImage(
    Node, category="image", libraries=("pillow",), passes={"out": "image"}, aliases=("ImageScaleBy",)
):
    """Make a picture larger or smaller by a factor."""

    image: Image
    factor: Annotated[float, Range(0.01, 16, step=0.25)] = 2.0
    """The factor, 0.01 to 16; 2 doubles the width and the height."""
    method: Method = "lanczos"
    """`lanczos` is sharpest; `bicubic` and `bilinear` are softer; `area` averages, for small sizes without
    ringing; `nearest` copies pixels, for pixel art."""
    linear_light: bool = False
    """Resize in linear light (gamma 1.0). Small bright details then keep their brightness."""

    def run(self, ctx: Context) -> Image:
        """Resize each picture of the batch.

        Raises:
            NodeError: the result would be too large.
        """
        from nodes.pixels.resample import resize_pixels

        count, height, width, _ = self.image.pixels.shape
        width, height = max(1, round(width * self.factor)), max(1, round(height * self.factor))
        with node_problem(input="factor", hint="use a smaller factor"):
            require_room(count, width, height)
        return Image(resize_pixels(self.image.pixels, width, height, self.method, linear=self.linear_light))


class Padded(NamedTuple):
    """A picture with a border, and a mask that is on in the border."""

    image: Image
    mask: Mask


class PadImage(Node, category="image", libraries=("pillow",), aliases=("ImagePadForOutpaint",)):
    """Add a border to a picture, for outpainting or a frame; the mask is on where the picture is new."""

    image: Image
    left: Annotated[int, Range(0, 16_384, step=8)] = 0
    """The width of the border at the left, in pixels."""
    top: Annotated[int, Range(0, 16_384, step=8)] = 0
    """The height of the border at the top, in pixels."""
    right: Annotated[int, Range(0, 16_384, step=8)] = 0
    """The width of the border at the right, in pixels."""
    bottom: Annotated[int, Range(0, 16_384, step=8)] = 0
    """The height of the border at the bottom, in pixels."""
    fill: Literal["color", "edge", "reflect"] = "color"
    """`color` fills with one colour, `edge` continues the pixels at the edge, `reflect` mirrors the
    picture."""
    color: str = "#808080"
    """The colour for `color`, such as `#808080` or `white`."""
    feather: Annotated[int, Range(0, 16_384)] = 0
    """How far the mask fades into the picture, in pixels, so that the outpainted border blends with it; 40 is
    usual. If the picture is too small for it, the mask stays hard."""

    def run(self, ctx: Context) -> Padded:
        """Pad each picture of the batch; one mask for all.

        Raises:
            NodeError: the result would be too large, or the colour is invalid.
        """
        from nodes.pixels import outpainting

        count, height, width, _ = self.image.pixels.shape
        with node_problem(hint="use smaller borders"):
            require_room(count, width + self.left + self.right, height + self.top + self.bottom)
        with node_problem(input="color", hint="write it as #808080, or as a name such as white"):
            color = rgb(self.color)
        border = outpainting.Border(self.left, self.top, self.right, self.bottom)
        pixels = outpainting.padded(self.image.pixels, border, self.fill, color)
        return Padded(Image(pixels), Mask(outpainting.border_mask(height, width, border, self.feather)))


class FlipImage(Node, category="image", passes={"out": "image"}, aliases=("ImageFlip", "Mirror")):
    """Mirror a picture."""

    image: Image
    direction: Literal["horizontal", "vertical"] = "horizontal"
    """`horizontal` swaps left and right, `vertical` swaps top and bottom."""

    def run(self, ctx: Context) -> Image:
        axis = 2 if self.direction == "horizontal" else 1
        return Image(self.image.pixels[(slice(None),) * axis + (slice(None, None, -1),)])


class RotateImage(
    Node, category="image", libraries=("pillow",), passes={"out": "image"}, aliases=("ImageRotate",)
):
    """Rotate a picture clockwise. The result is large enough for the whole picture."""

    image: Image
    angle: Annotated[float, Range(-360, 360, step=90)] = 90.0
    """The angle in degrees, clockwise. Multiples of 90 are lossless."""
    color: str = "#000000"
    """The colour of the corners for other angles."""

    def run(self, ctx: Context) -> Image:
        """Rotate each picture of the batch.

        Raises:
            NodeError: the result would be too large, or the colour is invalid.
        """
        import numpy
        from PIL import Image as pillow

        pixels = self.image.pixels
        if self.angle % 90 == 0:
            return Image(numpy.rot90(pixels, -int(self.angle // 90) % 4, (1, 2)))
        with node_problem(input="color", hint="write it as #000000, or as a name such as black"):
            color = rgb(self.color)
        diagonal = int(numpy.hypot(*pixels.shape[1:3])) + 1
        with node_problem(input="image"):
            require_room(len(pixels), diagonal, diagonal)
        rotated = [
            pillow.fromarray(picture).rotate(
                -self.angle, pillow.Resampling.BICUBIC, expand=True, fillcolor=color
            )
            for picture in pixels
        ]
        return Image(numpy.stack([numpy.asarray(picture) for picture in rotated]))
