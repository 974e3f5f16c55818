"""The UNet in sigma form: bit for bit what diffusers' pipelines compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, StableDiffusionImg2ImgPipeline
from torch import Tensor

from nodes.sd.families.family import Betas
from nodes.sd.sampling.denoiser import Denoiser
from nodes.sd.sampling.names import Prediction
from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.noise_table import NoiseTable
from nodes.sd.sampling.samplers import sample, start
from nodes.sd.sampling.schedule import Schedule
from nodes.sd.sampling.schedules import schedule

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PROMPT, NEGATIVE = "a red cube on a table", "blurry"
SEED = 7
Read = Callable[[str], Tensor]


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(SEED + i) for i in range(count)]


def ours(
    name: str,
    plan: Schedule,
    denoiser: Denoiser,
    count: int = 2,
    latent: Tensor | None = None,
    seed: int = SEED,
) -> Tensor:
    noise = NoiseSource(seed, count)
    x = start(noise.draw((4, 16, 16)), plan.sigmas, latent)
    *_, last = sample(name, denoiser, x, plan.sigmas, noise)
    return last.x


@pytest.mark.parametrize("guidance", [1.0, 5.0])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize(("spacing", "settings"), [("normal", {}), ("karras", {"use_karras_sigmas": True})])
def test_euler_latents_are_those_of_diffusers_bit_for_bit(
    pipeline: Any,
    unet: Any,
    table: NoiseTable,
    read: Read,
    spacing: str,
    settings: dict[str, object],
    prediction: Prediction,
    guidance: float,
) -> None:
    plan = schedule(spacing, 3, table)
    denoiser = Denoiser(unet, plan, prediction, read(PROMPT), uncond=read(NEGATIVE), guidance=guidance)
    expected = pipeline(EulerDiscreteScheduler, prediction_type=prediction, **settings)(
        PROMPT,
        negative_prompt=NEGATIVE,
        num_images_per_prompt=2,
        num_inference_steps=3,
        guidance_scale=guidance,
        generator=generators(2),
        output_type="latent",
    ).images
    assert torch.equal(ours("euler", plan, denoiser), expected)


def test_euler_ancestral_latents_are_those_of_diffusers_bit_for_bit(
    pipeline: Any, unet: Any, table: NoiseTable, read: Read
) -> None:
    plan = schedule("normal", 4, table)
    denoiser = Denoiser(unet, plan, "v_prediction", read(PROMPT), uncond=read(""), guidance=3.0)
    expected = pipeline(EulerAncestralDiscreteScheduler)(
        PROMPT,
        num_images_per_prompt=2,
        num_inference_steps=4,
        guidance_scale=3.0,
        generator=generators(2),
        output_type="latent",
    ).images
    assert torch.equal(ours("euler_ancestral", plan, denoiser), expected)


def test_rescaled_guidance_is_that_of_diffusers_bit_for_bit(pipeline: Any, unet: Any, read: Read) -> None:
    """On the noise it was made for, where the first sigma is 4096."""
    plan = schedule("normal", 3, NoiseTable(Betas(zero_snr=True)))
    denoiser = Denoiser(unet, plan, "v_prediction", read(PROMPT), uncond=read(""), guidance=7.0, rescale=0.7)
    expected = pipeline(EulerDiscreteScheduler, rescale_betas_zero_snr=True)(
        PROMPT,
        num_inference_steps=3,
        guidance_scale=7.0,
        guidance_rescale=0.7,
        generator=generators(1),
        output_type="latent",
    ).images
    assert torch.equal(ours("euler", plan, denoiser, count=1), expected)


def test_img2img_is_that_of_diffusers_where_both_keep_the_same_steps(
    pipeline: Any, unet: Any, table: NoiseTable, read: Read
) -> None:
    """A strength of 0.5 keeps 4 of 6 steps by A1111's rule; diffusers keeps 4 at 0.7."""
    latent = NoiseSource(99, 2).draw((4, 16, 16)) * 0.5
    plan = schedule("normal", 6, table).for_strength(0.5)
    denoiser = Denoiser(unet, plan, "v_prediction", read(PROMPT), uncond=read(""), guidance=3.0)
    expected = pipeline(EulerDiscreteScheduler, kind=StableDiffusionImg2ImgPipeline)(
        PROMPT,
        image=latent,
        strength=0.7,
        num_images_per_prompt=2,
        num_inference_steps=6,
        guidance_scale=3.0,
        generator=generators(2),
        output_type="latent",
    ).images
    assert torch.equal(ours("euler", plan, denoiser, latent=latent), expected[:2])


@pytest.mark.parametrize("name", ["euler", "euler_ancestral", "dpmpp_2m"])
def test_a_batch_equals_its_single_pictures(unet: Any, table: NoiseTable, read: Read, name: str) -> None:
    """Up to the order in which matrix products of another size add up: 6e-6 was seen."""
    plan = schedule("karras", 4, table)
    denoiser = Denoiser(unet, plan, "v_prediction", read(PROMPT), uncond=read(""), guidance=4.0)
    batch = ours(name, plan, denoiser, count=3)
    singles = torch.cat([ours(name, plan, denoiser, count=1, seed=SEED + i) for i in range(3)])
    torch.testing.assert_close(batch, singles, rtol=0, atol=1e-4)


class Recorder:
    """Stands in for a UNet: writes down what it is asked and answers with the mean of the embeddings."""

    class config:
        cross_attention_dim = 64
        in_channels = out_channels = 4

    def parameters(self) -> Iterator[torch.Tensor]:
        yield torch.zeros(1)

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[int, ...], tuple[int, ...], float]] = []

    def __call__(
        self, x: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, return_dict: bool
    ) -> tuple[Tensor]:
        self.asked.append((tuple(x.shape), tuple(encoder_hidden_states.shape), float(timestep[0])))
        return (encoder_hidden_states.mean((1, 2))[:, None, None, None].expand_as(x),)


def embeddings(value: float, tokens: int = 77) -> Tensor:
    return torch.full((1, tokens, 64), value)


@pytest.mark.parametrize(
    ("tokens", "guidance", "asked"),
    [(77, 7.5, [(4, 77)]), (154, 7.5, [(2, 154), (2, 77)]), (77, 1.0, [(2, 77)])],
)
def test_guidance_asks_no_more_often_than_it_must(
    table: NoiseTable, tokens: int, guidance: float, asked: list[tuple[int, int]]
) -> None:
    unet = Recorder()
    plan = schedule("normal", 4, table)
    denoiser = Denoiser(
        unet, plan, "sample", embeddings(3.0), uncond=embeddings(1.0, tokens), guidance=guidance
    )
    found = denoiser(torch.zeros(2, 4, 8, 8), plan.sigmas[1])
    assert [(x[0], text[1]) for x, text, _ in unet.asked] == asked
    assert all(x[0] == text[0] for x, text, _ in unet.asked)
    torch.testing.assert_close(found, torch.full((2, 4, 8, 8), 1 + guidance * (3 - 1.0)))


def test_the_unet_sees_unit_variance_and_a_fractional_timestep(table: NoiseTable) -> None:
    seen: list[Tensor] = []

    class Spy(Recorder):
        def __call__(self, x: Tensor, *args: Any, **settings: Any) -> tuple[Tensor]:
            seen.append(x)
            return super().__call__(x, *args, **settings)

    unet = Spy()
    plan = schedule("normal", 4, table)
    noise = NoiseSource(1).draw((4, 64, 64))
    Denoiser(unet, plan, "epsilon", embeddings(0.0))(
        noise * plan.sigmas[0], plan.sigmas[1] * 0 + plan.sigmas[0]
    )
    assert float(seen[0].std()) == pytest.approx(1.0, abs=0.02)
    Denoiser(unet, plan, "epsilon", embeddings(0.0))(noise, torch.tensor(1.0))
    assert unet.asked[0][2] == 999
    assert unet.asked[1][2] == pytest.approx(float(table.timesteps(torch.tensor(1.0).double().numpy())))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_a_perfect_answer_of_each_kind_gives_the_clean_latent(
    table: NoiseTable, prediction: Prediction
) -> None:
    plan = schedule("karras", 4, table)
    sigma = plan.sigmas[2]
    clean, eps = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    alpha = 1 / torch.sqrt(1 + sigma**2)
    # v as arXiv:2202.00512 defines it: alpha * noise - spread * clean
    answer = {"epsilon": eps, "v_prediction": alpha * eps - alpha * sigma * clean, "sample": clean}[
        prediction
    ]

    class Perfect(Recorder):
        def __call__(self, *_: Any, **__: Any) -> tuple[Tensor]:
            return (answer,)

    found = Denoiser(Perfect(), plan, prediction, embeddings(0.0))(clean + sigma * eps, sigma)
    torch.testing.assert_close(found, clean, rtol=1e-4, atol=1e-5)


def test_guidance_without_a_negative_prompt_is_refused(unet: Any, table: NoiseTable) -> None:
    with pytest.raises(ValueError, match="negative prompt"):
        Denoiser(unet, schedule("normal", 4, table), "epsilon", embeddings(0.0), guidance=7.0)


def test_embeddings_of_another_model_are_refused(unet: Any, table: NoiseTable) -> None:
    with pytest.raises(ValueError, match="768 wide, the UNet reads 64"):
        Denoiser(unet, schedule("normal", 4, table), "epsilon", torch.zeros(1, 77, 768))
