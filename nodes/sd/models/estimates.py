"""Estimates the memory and the time of sampling and decoding; torch is not imported here.

**Decoding.** At full resolution a VAE of Stable Diffusion holds 896 channels for each pixel at once: 256 in,
512 normalised and activated, 128 out. Decoding measured 1,018 MiB at 512 x 512 and 336 MiB at 256 x 256 in
float32: a difference of 3.6 KiB for each pixel, where the channels take 3.5.

**Sampling.** A step of SD 1.5's UNet measured 170 MiB at 256 x 256 and 269 MiB at 512 x 512 in float32 for
one row: a difference of 33 KiB for each latent cell, which is 26 times its 320 channels. They are the skip
connections and the feed-forward layer of the first block. With guidance a picture takes two rows. One block
of SD 3's transformer measured 116 MiB at 512 x 512 and 245 MiB at 768 x 768: 17 times its 1,536 channels for
each token of four cells. Two blocks of FLUX.1's with 768 channels measured 243 MiB at 1024 x 1024, with 512
tokens of text: 18 times its channels for each token.

**Time.** Self-attention does 15 % of the operations of that UNet at the trained size, counted on the meta
device: 0.803 TFLOP at 512 x 512 and 2.148 at 768 x 768. That part grows with the square of the area, the rest
with the area.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Canvas = tuple[int, int]
"""Width and height in pixels."""

ATTENTION_SHARE = 0.15
DECODED_CHANNELS = 896
"""The channels that decoding holds for each pixel."""
_PICTURE_BYTES = 36
"""Bytes for each pixel of a finished picture: three channels of float32, three times during its
conversion."""
_STEP_CHANNELS = 26
"""The channels that a step holds for each latent cell, in units of the channels of the UNet's first block."""
_TOKEN_CHANNELS = 18
"""The channels that a step holds for each token, in units of the channels of a transformer."""
_WIDTH = 320
"""The channels of the first block of SD 1, SD 2 and SDXL."""
_HEADS, _SCORE_BYTES = 8, 4


def decoding_bytes(
    canvas: Canvas, pictures: int = 1, itemsize: int = 4, tile: int | None = None, sliced: bool = False
) -> int:
    """Estimate the bytes that decoding or encoding takes at once, without the weights of the VAE.

    Args:
        canvas: width and height in pixels.
        pictures: the pictures of the batch.
        itemsize: the bytes of a number in the precision of the VAE.
        tile: the side of the tiles in pixels; None to decode whole pictures.
        sliced: True if the pictures are decoded one after the other.
    """
    area = canvas[0] * canvas[1]
    at_once = (area if tile is None else min(area, tile * tile)) * (1 if sliced else pictures)
    return at_once * DECODED_CHANNELS * itemsize + pictures * area * _PICTURE_BYTES


def sampling_bytes(
    canvas: Canvas,
    rows: int,
    itemsize: int = 4,
    attention: str = "sdpa",
    config: Mapping[str, Any] | None = None,
    scale: int = 8,
    patch: int = 1,
    text: int = 0,
) -> int:
    """Estimate the bytes that a sampling step takes at once, without the weights of the model.

    Args:
        canvas: width and height in pixels.
        rows: the rows that the UNet computes at once: the pictures of the batch, twice as many with guidance.
        itemsize: the bytes of a number in the precision of the UNet.
        attention: the implementation of attention: `sdpa`, `sliced` or `plain`.
        config: the config of the UNet or transformer, for its width; None for the UNet of Stable Diffusion.
        scale: pixels per latent cell, along each side.
        patch: for a transformer, latent cells per token, along each side.
        text: for a transformer, the number of tokens of a prompt.
    """
    cells = (canvas[0] // scale) * (canvas[1] // scale)
    config = config or {}
    if "num_attention_heads" in config and "patch_size" in config:  # a transformer, which always uses sdpa
        tokens = cells // patch**2 + text
        width = int(config["num_attention_heads"]) * int(config["attention_head_dim"])
        return rows * tokens * _TOKEN_CHANNELS * width * itemsize
    channels = config.get("block_out_channels")
    width = channels[0] if channels else _WIDTH
    return rows * cells * _STEP_CHANNELS * width * itemsize + scores_bytes(canvas, attention, rows)


def scores_bytes(canvas: Canvas, attention: str, rows: int = 2) -> int:
    """Estimate the bytes of the attention scores in the largest layer: a number per pair of cells and head.

    `sliced` computes one head of one row at a time, `sdpa` never keeps the scores.
    """
    if attention not in ("plain", "sliced"):
        return 0
    cells = canvas[0] // 8 * (canvas[1] // 8)
    return cells**2 * _SCORE_BYTES * (rows * _HEADS if attention == "plain" else 1)


def slower(ratio: float) -> float:
    """Estimate how many times longer a step takes at `ratio` times the trained area."""
    return (1 - ATTENTION_SHARE) * ratio + ATTENTION_SHARE * ratio**2
