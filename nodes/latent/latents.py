"""Latents without a model: create, resize, cut, compose, mask, and take pictures of a batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import MultipleOf

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import Advanced, Range
from nodes.node_problem import node_problem
from nodes.pixels.sizes import require_room
from nodes.values import Latent, Mask

if TYPE_CHECKING:
    from torch import Tensor

CHANNELS, SCALE = 4, 8
"""The channels of a latent in SD 1, SD 2 and SDXL, and the pixels per latent cell along each side."""

Side = Annotated[int, Range(64, 8192, step=8), MultipleOf(SCALE)]
Pixels = Annotated[int, Range(0, 8192, step=8), MultipleOf(SCALE)]
Method = Literal["nearest", "bilinear", "bicubic", "area", "bislerp"]


class EmptyLatent(Node, category="latent", aliases=("EmptyLatentImage", "EmptySD3LatentImage")):
    """Create an empty latent: the size and number of the pictures to generate.

    Denoise gives it the number of channels that the model reads.
    """

    width: Annotated[int, Range(64, 8192, step=8), MultipleOf(SCALE)] = 512
    """Width in pixels, 64 to 8192, a multiple of 8. Models draw best at the size they were trained on:
    512 for SD 1, 512 or 768 for SD 2, and 1024 for SDXL, SD 3 and FLUX.1. SD 3 and FLUX.1 need a multiple of
    16. Larger sizes take more memory and time and tend to repeat the subject."""
    height: Annotated[int, Range(64, 8192, step=8), MultipleOf(SCALE)] = 512
    """Height in pixels, 64 to 8192, a multiple of 8."""
    batch: Annotated[int, Range(1, 64)] = 1
    """The number of pictures to generate at once, 1 to 64. Picture number i uses the seed plus i."""

    def run(self, ctx: Context) -> Latent:
        import torch

        with node_problem(hint="make the picture or the batch smaller"):
            require_room(self.batch, self.width, self.height)
        return Latent(torch.zeros(self.batch, CHANNELS, self.height // SCALE, self.width // SCALE))


class ResizeLatent(Node, category="latent", libraries=("torch",), aliases=("LatentUpscale",)):
    """Resize a latent, to refine it at another size with a second Denoise (hires fix)."""

    latent: Latent
    width: Side = 1024
    """The new width in pixels, 64 to 8192, a multiple of 8."""
    height: Side = 1024
    """The new height in pixels, 64 to 8192, a multiple of 8."""
    method: Method = "nearest"
    """How cells between others are computed. All give a picture that is soft or noisy until a Denoise with a
    strength of 0.5 or more has refined it. `bislerp` keeps contrast best; `bilinear` is A1111's default."""
    fit: Literal["stretch", "crop"] = "stretch"
    """`crop` keeps the proportions and cuts off the sides that do not fit; `stretch` changes the
    proportions."""
    antialias: Annotated[bool, Advanced] = False
    """Smooth before making smaller, with `bilinear` and `bicubic`."""

    def run(self, ctx: Context) -> Latent:
        from nodes.sd.latents.resize import centred, resize

        with node_problem(hint="make the picture or the batch smaller"):
            require_room(len(self.latent.samples), self.width, self.height)
        width, height = self.width // SCALE, self.height // SCALE

        def changed(samples: Tensor) -> Tensor:
            cut = centred(samples, width, height) if self.fit == "crop" else samples
            return resize(cut, width, height, self.method, antialias=self.antialias)

        return _changed(self.latent, changed)


class ScaleLatent(Node, category="latent", libraries=("torch",), aliases=("LatentUpscaleBy",)):
    """Make a latent larger or smaller by a factor, to refine it with a second Denoise (hires fix)."""

    latent: Latent
    factor: Annotated[float, Range(0.1, 8, step=0.05)] = 1.5
    """How many times as wide and tall, 0.1 to 8."""
    method: Method = "nearest"
    """How cells between others are computed; see ResizeLatent."""
    antialias: Annotated[bool, Advanced] = False
    """Smooth before making smaller, with `bilinear` and `bicubic`."""

    def run(self, ctx: Context) -> Latent:
        from nodes.sd.latents.resize import resize

        height, width = (max(1, round(side * self.factor)) for side in self.latent.samples.shape[-2:])
        with node_problem(input="factor", hint="make the picture or the batch smaller"):
            require_room(len(self.latent.samples), width * SCALE, height * SCALE)
        return _changed(
            self.latent, lambda samples: resize(samples, width, height, self.method, antialias=self.antialias)
        )


class CropLatent(Node, category="latent", libraries=("torch",), aliases=("LatentCrop",)):
    """Cut a rectangle out of a latent."""

    latent: Latent
    width: Side = 512
    """The width of the rectangle in pixels, a multiple of 8."""
    height: Side = 512
    """The height of the rectangle in pixels, a multiple of 8."""
    x: Pixels = 0
    """The left side of the rectangle, in pixels from the left, a multiple of 8."""
    y: Pixels = 0
    """The upper side of the rectangle, in pixels from the top, a multiple of 8."""

    def run(self, ctx: Context) -> Latent:
        """Cut the rectangle out of each latent of the batch.

        Raises:
            NodeError: the rectangle extends beyond the latent (`outside`).
        """
        tall, wide = self.latent.samples.shape[-2:]
        width, height, left, top = (side // SCALE for side in (self.width, self.height, self.x, self.y))
        for side, end, limit in (
            ("x", (left + width) * SCALE, wide * SCALE),
            ("y", (top + height) * SCALE, tall * SCALE),
        ):
            if end > limit:
                message = f"the rectangle ends at {side} = {end}, but the latent ends at {limit}"
                hint = "use a smaller rectangle, or move it"
                raise NodeError(message, hint=hint, input=side, code="outside")
        return _changed(self.latent, lambda x: x[..., top : top + height, left : left + width].clone())


class FlipLatent(Node, category="latent", libraries=("torch",), aliases=("LatentFlip",)):
    """Mirror a latent."""

    latent: Latent
    direction: Literal["horizontal", "vertical"] = "horizontal"
    """`horizontal` swaps left and right, `vertical` swaps top and bottom."""

    def run(self, ctx: Context) -> Latent:
        side = -1 if self.direction == "horizontal" else -2
        return _changed(self.latent, lambda samples: samples.flip(side))


class RotateLatent(Node, category="latent", libraries=("torch",), aliases=("LatentRotate",)):
    """Rotate a latent clockwise."""

    latent: Latent
    angle: Literal["90", "180", "270"] = "90"
    """Degrees, clockwise."""

    def run(self, ctx: Context) -> Latent:
        turns = int(self.angle) // 90
        return _changed(self.latent, lambda samples: samples.rot90(turns, dims=(3, 2)))


class CompositeLatent(
    Node, category="latent", libraries=("torch",), aliases=("LatentComposite", "LatentCompositeMasked")
):
    """Lay a latent over another, at a place and through a mask. What lies outside is cut off."""

    base: Latent
    top: Latent
    mask: Mask | None = None
    """Where `top` is opaque, scaled to its size; everywhere without a mask."""
    x: Pixels = 0
    """Where the left side of `top` lies in `base`, in pixels."""
    y: Pixels = 0
    """Where the upper side of `top` lies in `base`, in pixels."""
    feather: Pixels = 0
    """Over how many pixels the sides of `top` that lie inside `base` fade."""

    def run(self, ctx: Context) -> Latent:
        import torch

        from nodes.sd.sampling.blending import resized

        below = self.base.samples.clone()
        above = self.top.samples.to(below)
        if len(above) not in (1, len(below)):
            raise NodeError(
                f"`top` has {len(above)} pictures and `base` has {len(below)}",
                hint="connect a `top` with one picture, or with one for each picture of `base`",
                input="top",
            )
        left, top = self.x // SCALE, self.y // SCALE
        place = below[..., top : top + above.shape[-2], left : left + above.shape[-1]]
        height, width = place.shape[-2:]
        weights = torch.ones(1, 1, *above.shape[-2:], device=below.device)
        if self.mask is not None:
            with node_problem(input="mask"):
                whole = above.expand(len(below), -1, -1, -1)
                weights = resized(torch.from_numpy(self.mask.levels.copy()), whole)
        weights = weights[..., :height, :width].clone()
        for step in range(self.feather // SCALE):
            share = (step + 1) / (self.feather // SCALE)
            for dim, inside_before, inside_after, length in (
                (-2, top > 0, top + above.shape[-2] < below.shape[-2], height),
                (-1, left > 0, left + above.shape[-1] < below.shape[-1], width),
            ):
                if inside_before and step < length:
                    weights.narrow(dim, step, 1).mul_(share)
                if inside_after and step < length:
                    weights.narrow(dim, length - 1 - step, 1).mul_(share)
        place.copy_(above[..., :height, :width] * weights + place * (1 - weights))
        return dataclasses.replace(
            self.base, samples=below, made_with=self.base.made_with or self.top.made_with
        )


class JoinLatents(Node, category="latent", libraries=("torch",), aliases=("LatentBatch",)):
    """Join two latents or batches into one batch. The second is resized to the size of the first."""

    first: Latent
    second: Latent

    def run(self, ctx: Context) -> Latent:
        import torch

        from nodes.sd.latents.resize import centred, resize

        first, second = self.first.samples, self.second.samples
        height, width = first.shape[-2:]
        if second.shape[-2:] != first.shape[-2:]:
            second = resize(centred(second, width, height), width, height, "bilinear")
        made_with = self.first.made_with or self.second.made_with
        return Latent(torch.cat([first, second.to(first)]), made_with=made_with)


class RepeatLatent(Node, category="latent", libraries=("torch",), aliases=("RepeatLatentBatch",)):
    """Repeat a latent, to make several pictures of it at once with seeds that count up."""

    latent: Latent
    times: Annotated[int, Range(1, 64)] = 2
    """How often, 1 to 64."""

    def run(self, ctx: Context) -> Latent:
        height, width = (side * SCALE for side in self.latent.samples.shape[-2:])
        with node_problem(input="times", hint="make the picture or the batch smaller"):
            require_room(self.times * len(self.latent.samples), width, height)

        def repeated(samples: Tensor) -> Tensor:
            single = len(samples) == 1 and len(self.latent.samples) > 1  # a mask for all pictures
            return samples if single else samples.repeat(self.times, *[1] * (samples.ndim - 1))

        return _changed(self.latent, repeated)


class LatentFromBatch(Node, category="latent", libraries=("torch",)):
    """Take pictures out of a batch of latents."""

    latent: Latent
    first: Annotated[int, Range(0, 63)] = 0
    """The number of the first picture, from 0."""
    count: Annotated[int, Range(1, 64)] = 1
    """How many pictures, as far as there are."""

    def run(self, ctx: Context) -> Latent:
        pictures = len(self.latent.samples)
        if self.first >= pictures:
            raise NodeError(
                f"the latent has {pictures} pictures, numbered from 0, so there is no picture {self.first}",
                input="first",
            )
        taken = slice(self.first, self.first + self.count)
        return _changed(
            self.latent, lambda samples: samples if len(samples) < pictures else samples[taken].clone()
        )


class MaskLatent(Node, category="latent", libraries=("torch",), aliases=("SetLatentNoiseMask",)):
    """Let Denoise change a latent only where a mask is on (inpainting)."""

    latent: Latent
    mask: Mask
    """Where the picture changes: one mask, or one for each picture of the batch. It is scaled to the size of
    the latent; levels between off and on mix the old and the new picture."""

    def run(self, ctx: Context) -> Latent:
        import torch

        if len(self.mask.levels) not in (1, len(self.latent.samples)):
            raise NodeError(
                f"there are {len(self.mask.levels)} masks for {len(self.latent.samples)} pictures",
                hint="connect one mask, or one for each picture",
                input="mask",
            )
        return dataclasses.replace(self.latent, mask=torch.from_numpy(self.mask.levels.copy()))


def _changed(latent: Latent, change: Callable[[Tensor], Tensor]) -> Latent:
    """Return a latent with `change` applied to its samples, its mask and its masked pictures."""
    from nodes.sd.sampling.blending import resized

    mask = None if latent.mask is None else change(resized(latent.mask, latent.samples))[:, 0].clamp(0, 1)
    masked = None if latent.masked is None else change(latent.masked)
    return dataclasses.replace(latent, samples=change(latent.samples), mask=mask, masked=masked)
