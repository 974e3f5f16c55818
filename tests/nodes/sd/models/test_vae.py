"""Pictures and latents: what diffusers makes of them, and never a black picture in silence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

from nodes.sd.models.vae import decode, encode
from nodes.sd.sampling.noise import NoiseSource

PROCESSOR = VaeImageProcessor(vae_scale_factor=8)


def pictures(count: int, height: int = 64, width: int = 96) -> np.ndarray:
    """Smooth pictures, each other than the one before."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack(
        [
            np.stack([rows * 255 / height, columns * 255 / width, (rows + columns * i) % 256], axis=-1)
            for i in range(count)
        ]
    ).astype(np.uint8)


def latents(count: int) -> torch.Tensor:
    return NoiseSource(3, count).draw((4, 8, 12))


def test_decoding_is_that_of_diffusers_bit_for_bit(vae: Any) -> None:
    x = latents(2)
    with torch.no_grad():
        values = vae.decode(x / vae.config.scaling_factor, return_dict=False)[0]
    expected = np.stack([np.array(image) for image in PROCESSOR.postprocess(values, output_type="pil")])
    found = decode(vae, x)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("sampled", [False, True])
def test_encoding_is_that_of_diffusers_bit_for_bit(vae: Any, sampled: bool) -> None:
    given = pictures(2)
    values = PROCESSOR.preprocess([Image.fromarray(one) for one in given])
    with torch.no_grad():
        posterior = vae.encode(values).latent_dist
    if sampled:
        generators = [torch.Generator().manual_seed(11 + i) for i in range(2)]
        parts = [vae.encode(values[i : i + 1]).latent_dist.sample(generators[i]).detach() for i in range(2)]
        expected = vae.config.scaling_factor * torch.cat(parts)
        torch.testing.assert_close(encode(vae, given, NoiseSource(11, 2)), expected, rtol=0, atol=1e-5)
    else:
        assert torch.equal(encode(vae, given), vae.config.scaling_factor * posterior.mode())


def test_a_batch_decodes_as_its_singles(vae: Any) -> None:
    """At most one level in 255 apart: matrix products of another size add up in another order."""
    x = latents(3)
    singles = np.concatenate([decode(vae, x[i : i + 1]) for i in range(3)])
    assert np.abs(decode(vae, x).astype(int) - singles).max() <= 1


def test_a_picture_survives_the_round_trip(vae: Any) -> None:
    given = pictures(1)
    back = decode(vae, encode(vae, given))
    assert back.shape == given.shape
    error = np.abs(back.astype(int) - given).mean()
    assert error < np.abs(given.astype(int) - given.mean((1, 2), keepdims=True)).mean() / 3


def test_tiles_change_little_and_leave_the_vae_as_it_was(vae: Any) -> None:
    x = encode(vae, pictures(1, 256, 256))
    whole, tiled = decode(vae, x), decode(vae, x, tiled=True)
    assert not vae.use_tiling
    assert not np.array_equal(whole, tiled)  # 256 is more than one tile of this VAE
    assert np.abs(whole.astype(int) - tiled).mean() < 8


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_latents_that_are_not_finite_are_refused(vae: Any, bad: float) -> None:
    x = latents(1)
    x[0, 0, 0, 0] = bad
    with pytest.raises(ValueError, match="latents contain NaN"):
        decode(vae, x)


def test_a_vae_that_overflows_is_no_black_picture(vae: Any) -> None:
    with pytest.raises(ValueError, match="extreme values"):
        decode(vae, torch.full((1, 4, 8, 8), 3e38))


def test_latents_of_another_model_are_refused(vae: Any) -> None:
    with pytest.raises(ValueError, match=r"\[batch, 4, height, width\], not \[1, 16, 8, 8\]"):
        decode(vae, torch.zeros(1, 16, 8, 8))


def test_sides_that_are_no_multiple_of_eight_are_refused(vae: Any) -> None:
    with pytest.raises(ValueError, match=r"100 x 64 .* multiples of 8"):
        encode(vae, pictures(1, 64, 100))


def test_pictures_of_another_kind_are_refused(vae: Any) -> None:
    with pytest.raises(ValueError, match="uint8"):
        encode(vae, pictures(1).astype(np.float32))
