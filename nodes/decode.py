"""Decode and Encode: between latents and pictures."""

from __future__ import annotations

from engine.context import Context
from engine.node import Node
from nodes.explained import explained
from nodes.values import Image, Latent, Vae


class Decode(Node, category="latent", accelerator=True, libraries=("torch", "diffusers"), converts="latent"):
    """Turn a latent into a picture."""

    vae: Vae
    latent: Latent
    tiled: bool = False
    """Work on overlapping tiles: large pictures fit into little memory, and seams differ slightly."""

    def run(self, ctx: Context) -> Image:
        from nodes.sd.vae import decode

        with explained():
            return Image(decode(ctx.use(self.vae), self.latent.samples, self.tiled))


class Encode(Node, category="latent", accelerator=True, libraries=("torch", "diffusers"), converts="image"):
    """Turn a picture into a latent, to paint over it."""

    vae: Vae
    image: Image
    tiled: bool = False
    """Work on overlapping tiles: large pictures fit into little memory, and seams differ slightly."""

    def run(self, ctx: Context) -> Latent:
        from nodes.sd.vae import encode

        with explained(input="image", hint="put a ResizeImage before it"):
            return Latent(encode(ctx.use(self.vae), self.image.pixels, tiled=self.tiled).cpu())
