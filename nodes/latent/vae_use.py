"""Encodes or decodes with a VAE: makes room in memory, and repeats in float32 if half precision overflows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from engine.context import Context
from engine.devices.recipe import InFloat32
from nodes.sd.models.estimates import decoding_bytes
from nodes.sd.not_finite import Overflow
from nodes.values import Vae

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

T = TypeVar("T")


def with_vae(
    ctx: Context,
    vae: Vae,
    work: Callable[[AutoencoderKL, bool], T],
    name: str,
    canvas: tuple[int, int],
    pictures: int,
    tiled: bool,
) -> T:
    """Encode or decode with a VAE, and repeat in float32 if half precision overflows.

    If memory ran out in an earlier attempt, the work is done in tiles.

    Args:
        ctx: the context of the node.
        vae: the VAE.
        work: encodes or decodes with the loaded VAE; its second argument is True to do it in tiles.
        name: the word for the work in messages: `decoding` or `encoding`.
        canvas: width and height of the pictures, in pixels.
        pictures: the number of pictures.
        tiled: True to do the work in tiles in any case.

    Raises:
        NodeError: the device has too little memory (`too_large`), or the VAE cannot be loaded.
        Overflow: the result is not finite in float32 either.
    """
    side = vae.checkpoint.width
    tiled = tiled or (ctx.compute.vae_tiling and max(canvas) > side)
    is_smaller = max(canvas) > side and not tiled  # with tiles
    if is_smaller and ctx.saves_memory:
        tiled = True
        ctx.approximate(f"memory ran out, so {name} was done in tiles; faint seams are possible")
    dtype = ctx.compute.vae_dtype
    itemsize, tile = 4 if dtype == "float32" else 2, side if tiled else None
    size = decoding_bytes(canvas, pictures, itemsize, tile, ctx.compute.vae_slicing)
    ctx.reserve(size, f"{name} at {canvas[0]} x {canvas[1]}")
    try:
        return work(ctx.use(vae), tiled)
    except Overflow:
        if dtype == "float32":
            raise
    ctx.release(vae)
    ctx.warn(
        f"{name} in {dtype} overflowed, so it was done again in float32;"
        " set `vae_dtype` to float32 or bfloat16 to avoid this"
    )
    return work(ctx.use(InFloat32(vae)), tiled)
