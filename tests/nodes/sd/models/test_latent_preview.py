"""Rough pictures of latents: close to what the VAE decodes, and refused for unknown models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image

from nodes.sd.families.known import family_named
from nodes.sd.models.latent_preview import latent_preview
from tests.nodes.conftest import GRAPHS
from tests.nodes.sd.conftest import TINY

SD1 = family_named("sd1")


def test_a_preview_looks_like_the_decoded_picture() -> None:
    vae = AutoencoderKL.from_pretrained(TINY / "vae").float().eval()
    with Image.open(GRAPHS / "pictures" / "green-star.png") as file:
        star = np.asarray(file.convert("RGB").resize((128, 128))).astype(np.float32)
    pixels = torch.from_numpy(star).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        latent = vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor
    preview = latent_preview(latent, SD1.previews[64], 8)
    assert preview is not None
    assert preview.size == (128, 128)
    small = [
        np.asarray(picture.resize((16, 16), Image.Resampling.BOX)).astype(float)
        for picture in (preview, Image.fromarray(star.astype(np.uint8)))
    ]
    assert np.abs(small[0] - small[1]).mean() < 25


@pytest.mark.parametrize(("channels", "width"), [(4, 1000), (16, 768)])
def test_an_unknown_model_has_no_preview(channels: int, width: int) -> None:
    assert latent_preview(torch.zeros(1, channels, 2, 2), SD1.previews.get(width), 8) is None


def test_infinite_latents_have_a_preview() -> None:
    samples = torch.full((2, 4, 2, 3), float("inf"))
    preview = latent_preview(samples, SD1.previews[768], 8)
    assert preview is not None
    assert preview.size == (24, 16)
