"""Sampling that changes a part of a latent, and models made for inpainting."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionInpaintPipeline
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from nodes.sd.sampling.denoiser import Denoiser
from nodes.sd.sampling.inpainting import MaskedDenoiser
from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.noise_table import NoiseTable
from nodes.sd.sampling.samplers import sample, start
from nodes.sd.sampling.schedules import schedule

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Read = Callable[[str], Tensor]


class Halving:
    """A model whose answer depends on its neighbours, so that what it is asked about matters everywhere."""

    def __init__(self) -> None:
        self.asked: list[Tensor] = []

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.asked.append(x)
        return torch.tanh(x.roll(1, -1) / (1 + sigma))

    def both(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return self(x, sigma), 0.5 * self(x, sigma)


def parts(*shape: int) -> tuple[Tensor, Tensor, Tensor]:
    """A latent, noise, and a mask with soft levels."""
    drawn = torch.randn(2, *shape, generator=torch.Generator().manual_seed(3)).double()
    mask = torch.rand(1, 1, *shape[-2:], generator=torch.Generator().manual_seed(4)).double()
    mask[..., : shape[-1] // 2] = 0
    return drawn[0], drawn[1], mask


@pytest.mark.parametrize("before", [False, True])
def test_each_step_sees_the_given_latent_outside_the_mask(before: bool) -> None:
    """An Euler loop with ComfyUI's KSamplerX0Inpaint, or with A1111's blend of the answer alone."""
    latent, noise, mask = parts(2, 4, 8, 8)
    sigmas = schedule("karras", 6, NoiseTable()).sigmas.double()
    x = expected = latent + noise * sigmas[0]
    for sigma, target in pairwise(sigmas):
        asked = expected * mask + (latent + noise * sigma) * (1 - mask) if before else expected
        clean = Halving()(asked, sigma) * mask + latent * (1 - mask)
        expected = expected + (expected - clean) / sigma * (target - sigma)
    denoiser = MaskedDenoiser(Halving(), latent, mask, NoiseTable(), noise if before else None)
    *_, last = sample("euler", denoiser, x, sigmas)
    torch.testing.assert_close(last.x, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(last.x[..., :4], latent[..., :4], rtol=1e-9, atol=1e-9)
    assert float((last.x[..., 4:] - latent[..., 4:]).abs().mean()) > 0.1


def test_samplers_with_cfg_pp_keep_the_rest_as_well() -> None:
    latent, noise, mask = parts(1, 4, 8, 8)
    sigmas = schedule("karras", 6, NoiseTable()).sigmas.double()
    denoiser = MaskedDenoiser(Halving(), latent, mask, NoiseTable())
    *_, last = sample("euler_cfg_pp", denoiser, latent + noise * sigmas[0], sigmas)
    torch.testing.assert_close(last.x[..., :4], latent[..., :4], rtol=1e-9, atol=1e-9)


@pytest.fixture(scope="module")
def inpainting_unet(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """The small model with the nine channels of models made for inpainting; the five new ones are random."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        wider = UNet2DConditionModel.from_config({**unet.config, "in_channels": 9}).eval()
    weights = dict(unet.state_dict())
    first = weights["conv_in.weight"]
    new = torch.randn(first.shape[0], 5, *first.shape[2:], generator=torch.Generator().manual_seed(1))
    weights["conv_in.weight"] = torch.cat([first, 0.1 * new], 1)
    wider.load_state_dict(weights)
    return wider


def test_an_inpainting_model_draws_as_with_diffusers(
    pipeline: Any, inpainting_unet: UNet2DConditionModel, table: NoiseTable, read: Read
) -> None:
    around = 0.7 * torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(9))
    mask = torch.zeros(1, 1, 128, 128)
    mask[..., 32:96, 16:64] = 1
    made = pipeline(EulerDiscreteScheduler, kind=StableDiffusionInpaintPipeline)
    made.register_modules(unet=inpainting_unet)
    expected = made(
        "a red cube",
        image=torch.zeros(1, 3, 128, 128),
        mask_image=mask,
        masked_image_latents=around,
        strength=1.0,
        num_inference_steps=4,
        guidance_scale=5.0,
        height=128,
        width=128,
        generator=[torch.Generator().manual_seed(7)],
        output_type="latent",
    ).images
    plan = schedule("normal", 4, table)
    context = torch.cat([mask[..., ::8, ::8], around], 1)
    denoiser = Denoiser(
        inpainting_unet,
        plan,
        "v_prediction",
        read("a red cube"),
        uncond=read(""),
        guidance=5.0,
        context=context,
    )
    noise = NoiseSource(7)
    *_, last = sample("euler", denoiser, start(noise.draw((4, 16, 16)), plan.sigmas), plan.sigmas)
    torch.testing.assert_close(last.x, expected, rtol=0, atol=1e-5)


def test_models_and_latents_that_do_not_fit_are_refused(
    unet: UNet2DConditionModel, inpainting_unet: UNet2DConditionModel, table: NoiseTable, read: Read
) -> None:
    plan = schedule("normal", 4, table)
    with pytest.raises(ValueError, match="This is an inpainting model"):
        Denoiser(inpainting_unet, plan, "epsilon", read(""))
    with pytest.raises(ValueError, match="This is not an inpainting model"):
        Denoiser(unet, plan, "epsilon", read(""), context=torch.zeros(1, 5, 8, 8))
