"""EncodeForInpainting and CropAroundMask: prepare pictures and masks for inpainting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import Advanced, Range, Seed
from nodes.latent.vae_use import with_vae
from nodes.node_problem import node_problem
from nodes.values import Image, Latent, Mask, Vae

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from torch import Tensor


class EncodeForInpainting(
    Node,
    category="latent",
    accelerator=True,
    libraries=("torch", "diffusers", "pillow"),
    aliases=("VAEEncodeForInpaint", "InpaintModelConditioning"),
):
    """Encode a picture whose masked part Denoise replaces (inpainting).

    The rest stays as it is, up to the VAE's error; lay the result over the picture with a Composite to keep
    it exactly.
    """

    vae: Vae
    image: Image
    mask: Mask
    """Where the picture changes. It is scaled to the size of the picture."""
    content: Literal["original", "fill", "grey", "noise", "nothing"] = "original"
    """What the masked part begins with. `original`: the picture, for changes at a strength below 1. `fill`:
    the colours around it (A1111's fill). `grey`: grey, for a strength of 1 (ComfyUI's VAEEncodeForInpaint).
    `noise`, `nothing`: noise or zeros in the latent, for a strength near 1."""
    grow: Annotated[int, Range(0, 64)] = 6
    """By how many pixels the mask grows, so that no seam remains."""
    for_inpainting_model: bool = False
    """Turn on for models that were trained for inpainting: they also see the picture around the mask."""
    seed: Annotated[Seed, Advanced] = 0
    """The seed of the content `noise`. A1111 uses that of the picture."""
    tiled: Annotated[bool, Advanced] = False
    """Encode in overlapping tiles, which saves memory with large pictures."""

    def run(self, ctx: Context) -> Latent:
        import torch

        from nodes.sd.latents import masked_picture
        from nodes.sd.models.vae import encode
        from nodes.sd.sampling.blending import resized
        from nodes.sd.sampling.noise import NoiseSource

        pixels = self.image.pixels
        if len(self.mask.levels) not in (1, len(pixels)):
            raise NodeError(
                f"there are {len(self.mask.levels)} masks for {len(pixels)} pictures",
                hint="connect one mask, or one for each picture",
                input="mask",
            )
        mask = masked_picture.scaled(self.mask.levels, *pixels.shape[1:3])
        count, height, width, _ = pixels.shape

        def encoded(pictures: masked_picture.Pictures) -> Tensor:
            def work(vae: AutoencoderKL, tiled: bool) -> Tensor:
                return encode(vae, pictures, tiled=tiled)

            with node_problem(input="image", hint="put a ResizeImage before it"):
                return with_vae(ctx, self.vae, work, "encoding", (width, height), count, self.tiled)

        greyed = masked_picture.greyed(pixels, mask)
        if self.content == "fill":
            samples = encoded(masked_picture.filled(pixels, mask))
        else:
            samples = encoded(greyed if self.content == "grey" else pixels)
        grown = torch.from_numpy(masked_picture.grown(mask, self.grow))
        if self.content in ("noise", "nothing"):
            inside = resized(grown, samples).round()
            noise = NoiseSource(self.seed, len(samples)).like(samples)
            samples = samples * (1 - inside) + (noise * inside if self.content == "noise" else 0)
        around = None
        if self.for_inpainting_model:
            around = samples if self.content == "grey" else encoded(greyed)
        return Latent(samples, grown, around, self.vae.checkpoint.family)


class CroppedAroundMask(NamedTuple):
    """The part of a picture around a mask, and its place in the picture."""

    image: Image
    """The part, in the size to work at."""
    mask: Mask
    """The mask of the part, in the same size."""
    cover: Mask
    """The mask of the part in the picture's own size, to lay the result over the picture with a Composite."""
    x: int
    """Where the part's left side lies in the picture, in pixels."""
    y: int
    """Where its upper side lies."""
    width: int
    """Its width in the picture: the size to bring the result back to."""
    height: int
    """Its height in the picture."""


class CropAroundMask(Node, category="mask", libraries=("pillow",), aliases=("InpaintCrop", "OnlyMasked")):
    """Cut out the part of a picture around a mask and enlarge it, to inpaint it with more detail.

    Bring the result back with a ResizeImage to `width` and `height` and a Composite at `x` and `y`.
    """

    image: Image
    mask: Mask
    """Where the picture is to change. It is scaled to the size of the picture."""
    padding: Annotated[int, Range(0, 1024)] = 32
    """How many pixels around the mask are cut out as well, so that the model sees what surrounds it."""
    width: Annotated[int, Range(64, 8192, step=8)] = 512
    """The width to work at, in pixels; the part gets these proportions where the picture has room."""
    height: Annotated[int, Range(64, 8192, step=8)] = 512
    """The height to work at, in pixels."""

    def run(self, ctx: Context) -> CroppedAroundMask:
        from nodes.pixels.resample import resize_levels, resize_pixels
        from nodes.sd.latents import masked_picture
        from nodes.sd.latents.around_mask import around

        levels = masked_picture.scaled(self.mask.levels, *self.image.pixels.shape[1:3])
        box = around(levels, self.padding, self.width, self.height)
        if box is None:
            raise NodeError(
                "the mask is empty (entirely black)", hint="paint the area to inpaint white", input="mask"
            )
        rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
        cover = levels[:, rows, columns]
        return CroppedAroundMask(
            Image(resize_pixels(self.image.pixels[:, rows, columns], self.width, self.height, "lanczos")),
            Mask(resize_levels(cover, self.width, self.height, "lanczos")),
            Mask(cover.copy()),
            box.left,
            box.top,
            box.right - box.left,
            box.bottom - box.top,
        )
