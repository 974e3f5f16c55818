"""BatchToList, ListToBatch and JoinImages: convert between batches and lists of pictures."""

from __future__ import annotations

from typing import Literal

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from nodes.node_problem import node_problem
from nodes.pixels.sizes import require_room
from nodes.values import Image


class BatchToList(Node, category="image", aliases=("Unbatch",)):
    """Split a batch of pictures into a list; the nodes after it run once for each picture."""

    image: Image

    def run(self, ctx: Context) -> list[Image]:
        return [Image(picture[None]) for picture in self.image.pixels]


class ListToBatch(Node, category="image", libraries=("pillow",), aliases=("RebatchImages",)):
    """Join a list of pictures into one batch."""

    images: list[Image]
    fit: Literal["refuse", "crop", "stretch"] = "refuse"
    """What happens to pictures that have another size than the first: `refuse` is an error; `crop` and
    `stretch` resize them."""

    def run(self, ctx: Context) -> Image:
        """Join the pictures.

        Raises:
            NodeError: the list is empty, the sizes differ, or the batch would be too large.
        """
        if not self.images:
            hint = "connect a list with at least one picture"
            raise NodeError("the input `images` is an empty list", hint=hint, input="images")
        return joined(self.images, self.fit, "images")


class JoinImages(Node, category="image", libraries=("pillow",), aliases=("ImageBatch",)):
    """Join two pictures or batches into one batch."""

    first: Image
    second: Image
    fit: Literal["refuse", "crop", "stretch"] = "refuse"
    """What happens if `second` has another size than `first`: `refuse` is an error; `crop` and `stretch`
    resize it."""

    def run(self, ctx: Context) -> Image:
        """Join the pictures.

        Raises:
            NodeError: the sizes differ, or the batch would be too large.
        """
        return joined([self.first, self.second], self.fit, "second")


def joined(images: list[Image], fit: Literal["refuse", "crop", "stretch"], input: str) -> Image:
    """Join pictures into one batch, with the size of the first.

    Raises:
        NodeError: the sizes differ and `fit` is `refuse`, or the batch would be too large.
    """
    import numpy

    from nodes.pixels.resample import centred_box, resize_pixels

    _, height, width, _ = images[0].pixels.shape
    with node_problem(input=input):
        require_room(sum(len(image.pixels) for image in images), width, height)
    fitting = []
    for image in images:
        pixels = image.pixels
        _, own_height, own_width, _ = pixels.shape
        if (own_height, own_width) != (height, width):
            if fit == "refuse":
                message = f"the pictures have different sizes: {width} x {height}, {own_width} x {own_height}"
                hint = "set fit to crop or stretch, or resize them first"
                raise NodeError(message, hint=hint, input=input, code="other_size")
            box = centred_box(own_width, own_height, width, height) if fit == "crop" else None
            pixels = resize_pixels(pixels, width, height, "lanczos", box)
        fitting.append(pixels)
    return Image(numpy.concatenate(fitting))
