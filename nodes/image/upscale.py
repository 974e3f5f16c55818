"""LoadUpscaler and UpscaleImage: make pictures larger with an upscale model."""

from __future__ import annotations

from typing import Annotated

from engine.context import Context
from engine.errors import NodeError
from engine.files import Files
from engine.node import Node
from engine.values import Json
from engine.widgets import Advanced, FileIn, Range
from nodes.files.file_kinds import require_kind
from nodes.files.file_names import resolve
from nodes.files.upscaler_files import UPSCALERS, Upscaler
from nodes.node_problem import node_problem
from nodes.pixels.sizes import require_room
from nodes.values import Image


class LoadUpscaler(Node, category="image", aliases=("UpscaleModelLoader",)):
    """Load an upscale model, such as an ESRGAN."""

    upscaler: Annotated[str, FileIn(UPSCALERS)]
    """The upscale model: the name of a `.pth` or `.safetensors` file in `models/upscale_models`, with or
    without sub-folder and suffix, or a path. ESRGAN, Real-ESRGAN (x4plus, x2plus, anime) and the compact
    models of Real-ESRGAN are known; the package `spandrel` adds others where it is installed."""

    def fingerprint(self, files: Files) -> Json:
        """Return the digest of the file, so that a changed file gives a new result.

        Raises:
            NodeError: there is no such file, or it is not an upscale model.
        """
        return _digest(files, self.upscaler)

    def run(self, ctx: Context) -> Upscaler:
        name = resolve(ctx.files, UPSCALERS, self.upscaler) or self.upscaler
        return Upscaler(_digest(ctx.files, self.upscaler), name)


class UpscaleImage(
    Node,
    category="image",
    accelerator=True,
    libraries=("torch",),
    passes={"out": "image"},
    aliases=("ImageUpscaleWithModel",),
):
    """Make a picture larger with an upscale model; the model decides how much."""

    upscaler: Upscaler
    image: Image
    tile: Annotated[int, Range(0, 8192, step=64)] = 512
    """The side of the tiles in which the picture is upscaled, in its own pixels. Smaller tiles need less
    memory. 0: the whole picture at once."""
    overlap: Annotated[int, Range(0, 256, step=8), Advanced] = 32
    """How far each tile sees beyond its edges, in pixels. Larger values make seams less likely."""

    def run(self, ctx: Context) -> Image:
        """Upscale each picture of the batch.

        Raises:
            NodeError: the result would be too large, or contains NaN or infinity.
        """
        import numpy
        import torch

        from nodes.pixels.levels import to_levels, to_pixels
        from nodes.sd.upscalers.tiled import tile_count, upscale

        network = ctx.use(self.upscaler)
        count, height, width, _ = self.image.pixels.shape
        with node_problem(input="image", hint="put a ResizeImage before it"):
            require_room(count, width * network.scale, height * network.scale)
        tiles = tile_count(height, width, self.tile, self.overlap, network.multiple)
        larger = []
        work = (
            result
            for picture in self.image.pixels
            for result in upscale(
                network, torch.from_numpy(to_levels(picture).transpose(2, 0, 1)), self.tile, self.overlap
            )
        )
        for number, result in enumerate(ctx.track(work, total=count * tiles, unit="tiles"), 1):
            if number % tiles == 0:
                if not torch.isfinite(result).all():
                    hint = "set dtype to float32, or use another upscale model"
                    message = "the upscaled picture contains values that are not finite (NaN)"
                    raise NodeError(message, hint=hint, code="not_finite")
                larger.append(to_pixels(result.numpy().transpose(1, 2, 0)))
        return Image(numpy.stack(larger))


def _digest(files: Files, name: str) -> str:
    """Return the sha256 of the upscale model with a name.

    Raises:
        NodeError: there is no such file, several have this name, or it is not an upscale model.
    """
    try:
        path = files.find(UPSCALERS, resolve(files, UPSCALERS, name) or name)
    except NodeError as error:
        raise error.at("upscaler") from None
    return require_kind(files, path, "upscaler", input="upscaler")
