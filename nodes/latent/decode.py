"""Decode and Encode: convert latents to pictures, and pictures to latents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.context import Context
from engine.node import Node
from nodes.latent.vae_use import with_vae
from nodes.node_problem import node_problem
from nodes.pixels.sizes import require_room
from nodes.values import Image, Latent, Vae

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL


class Decode(
    Node,
    category="latent",
    accelerator=True,
    libraries=("torch", "diffusers"),
    converts="latent",
    aliases=("VAEDecode",),
):
    """Decode a latent into a picture with the VAE."""

    vae: Vae
    latent: Latent
    tiled: bool = False
    """Decode in overlapping tiles. Large pictures then need little memory; faint seams are possible."""

    def run(self, ctx: Context) -> Image:
        from nodes.sd.models.vae import decode

        self.vae.checkpoint.refuse_latent(self.latent.made_with, "VAE")
        count, _, *sides = self.latent.samples.shape
        height, width = (side * self.vae.checkpoint.vae_scale for side in sides)
        with node_problem(input="latent", hint="make the picture or the batch smaller"):
            require_room(count, width, height)

        def decoded(vae: AutoencoderKL, tiled: bool) -> Image:
            return Image(decode(vae, self.latent.samples, tiled))

        with node_problem():
            return with_vae(ctx, self.vae, decoded, "decoding", (width, height), count, self.tiled)


class Encode(
    Node,
    category="latent",
    accelerator=True,
    libraries=("torch", "diffusers"),
    converts="image",
    aliases=("VAEEncode", "Img2Img"),
):
    """Encode a picture into a latent with the VAE, as the start of image to image."""

    vae: Vae
    image: Image
    tiled: bool = False
    """Encode in overlapping tiles. Large pictures then need little memory; faint seams are possible."""

    def run(self, ctx: Context) -> Latent:
        from nodes.sd.models.vae import encode

        count, height, width, _ = self.image.pixels.shape

        def encoded(vae: AutoencoderKL, tiled: bool) -> Latent:
            samples = encode(vae, self.image.pixels, tiled=tiled)
            return Latent(samples, made_with=self.vae.checkpoint.family)

        with node_problem(input="image", hint="put a ResizeImage before it"):
            return with_vae(ctx, self.vae, encoded, "encoding", (width, height), count, self.tiled)
