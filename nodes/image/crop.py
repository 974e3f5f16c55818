"""CropImage and CropMask: cut a rectangle out of a picture or a mask."""

from __future__ import annotations

from typing import Annotated, Literal

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import Range
from nodes.pixels.sizes import MAX_SIDE
from nodes.values import Image, Mask

Start = Annotated[int, Range(0, MAX_SIDE)]
Length = Annotated[int, Range(1, MAX_SIDE, step=8)]


class _Rectangle(Node):
    """The common inputs of CropImage and CropMask: the rectangle."""

    x: Start = 0
    """The left side of the rectangle, in pixels from the left."""
    y: Start = 0
    """The upper side of the rectangle, in pixels from the top."""
    width: Length = 512
    """The width of the rectangle in pixels."""
    height: Length = 512
    """The height of the rectangle in pixels."""
    outside: Literal["refuse", "clip"] = "refuse"
    """What happens if the rectangle extends beyond the picture: `refuse` is an error, `clip` keeps the part
    inside."""

    def rows_and_columns(self, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of the rectangle in a picture of the given size.

        Raises:
            NodeError: the rectangle begins outside the picture, or ends outside it and `outside` is `refuse`.
        """
        for side, start, length, limit in (
            ("x", self.x, self.width, width),
            ("y", self.y, self.height, height),
        ):
            if start >= limit:
                message = f"the rectangle begins at {side} = {start}, but the picture ends at {limit}"
                raise NodeError(message, hint=f"set {side} below {limit}", input=side, code="outside")
            if start + length > limit and self.outside == "refuse":
                message = f"the rectangle ends at {side} = {start + length}, but the picture ends at {limit}"
                hint = "use a smaller rectangle, move it, or set outside to clip"
                raise NodeError(message, hint=hint, input=side, code="outside")
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


class CropImage(_Rectangle, category="image", passes={"out": "image"}, aliases=("ImageCrop",)):
    """Cut a rectangle out of a picture."""

    image: Image

    def run(self, ctx: Context) -> Image:
        """Cut the rectangle out of each picture of the batch.

        Raises:
            NodeError: as `rows_and_columns`.
        """
        rows, columns = self.rows_and_columns(*self.image.pixels.shape[1:3])
        return Image(self.image.pixels[:, rows, columns])


class CropMask(_Rectangle, category="mask", passes={"out": "mask"}):
    """Cut a rectangle out of a mask."""

    mask: Mask

    def run(self, ctx: Context) -> Mask:
        """Cut the rectangle out of each mask of the batch.

        Raises:
            NodeError: as `rows_and_columns`.
        """
        rows, columns = self.rows_and_columns(*self.mask.levels.shape[1:3])
        return Mask(self.mask.levels[:, rows, columns])
