"""Converts latents to rough pictures without a VAE, by a linear map from latent channels to RGB."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from PIL import Image as pillow

    from nodes.sd.families.family import Colours


def latent_preview(samples: torch.Tensor, colours: Colours | None, scale: int) -> pillow.Image | None:
    """Convert the first latent of a batch to a rough picture; None if its model's colours are unknown.

    Args:
        samples: the latents, [pictures, channels, height, width], scaled for the UNet.
        colours: red, green and blue for each channel; the last row is the colour of zeros.
        scale: pixels per latent cell, along each side.
    """
    import torch
    from PIL import Image

    if colours is None or samples.shape[1] != len(colours) - 1:
        return None
    rows = torch.tensor(colours)
    rgb = torch.einsum("chw,cr->hwr", samples[0].float().cpu(), rows[:-1]) + rows[-1]
    pixels = ((rgb + 1) * 127.5).nan_to_num().clamp(0, 255).round().to(torch.uint8)
    height, width = pixels.shape[:2]
    picture = Image.fromarray(pixels.numpy())
    return picture.resize((width * scale, height * scale), Image.Resampling.BICUBIC)
