"""SD 3: loaded from a diffusers folder, it draws what diffusers' own pipeline draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Img2ImgPipeline
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from nodes.sd.families.family import Flow
from nodes.sd.models import vae, weights
from nodes.sd.models.checkpoint_file import describe_file
from nodes.sd.models.folder import describe_folder
from nodes.sd.models.loaded_encoder import LoadedEncoder
from nodes.sd.models.tokenizer import load_tokenizer
from nodes.sd.prompts.encoded import Settings
from nodes.sd.prompts.encoding import context_shape, encode_with_all
from nodes.sd.prompts.timeline import PromptPart
from nodes.sd.sampling import samplers
from nodes.sd.sampling.denoiser import Denoiser
from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.schedule import Schedule
from nodes.sd.sampling.schedules import schedule
from nodes.sd.sampling.tables import table_of
from tests.nodes.sd.families.latents import difference, tokenizer
from tests.nodes.sd.families.pipelines import pipeline_of
from tests.nodes.sd.families.small import SmallModel, small_model

PROMPT, NEGATIVE = "a red cube on a table", "blue, blurred"
STEPS, GUIDANCE = 4, 5.0


class Both:
    """A small SD 3 in a folder, and diffusers' pipeline of the same networks."""

    def __init__(self, model: SmallModel, folder: Path) -> None:
        self.pipeline: Any = pipeline_of(model, folder)
        self.files = describe_folder(folder)
        self.transformer = weights.load_unet(self.files)
        self.encoders = [
            LoadedEncoder(
                role,
                tokenizer(self.files, role),
                weights.load_text_encoder(self.files, component=role.component),
            )
            for role in self.files.roles
        ]

    def parts(self, prompt: str) -> tuple[PromptPart, ...]:
        files = self.files
        shape = context_shape(files.family, files.text_widths, files.context_width)
        return encode_with_all(prompt, self.encoders, Settings(dialect="plain"), shape).parts

    def plan(self, steps: int = STEPS) -> Schedule:
        return schedule("normal", steps, table_of(self.files.noise))

    def drawn(self, x: Tensor, plan: Schedule, prompt: str = PROMPT, negative: str = NEGATIVE) -> Tensor:
        """Latents by Euler steps."""
        denoiser = Denoiser(
            self.transformer,
            plan,
            self.files.prediction,
            self.parts(prompt),
            uncond=self.parts(negative),
            guidance=GUIDANCE,
            network=self.files.family.network,
        )
        for step in samplers.sample("euler", denoiser, x, plan.sigmas):
            x = step.x
        return x

    def theirs(self, noise: Tensor, prompt: str = PROMPT, negative: str = NEGATIVE, **more: Any) -> Any:
        count, _, height, width = noise.shape
        return self.pipeline(
            prompt,
            negative_prompt=negative,
            num_images_per_prompt=count,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            latents=noise,
            height=8 * height,
            width=8 * width,
            **{"output_type": "latent", **more},
        ).images


@pytest.fixture(scope="module")
def without_t5(tmp_path_factory: pytest.TempPathFactory) -> Both:
    return Both(small_model("sd3"), tmp_path_factory.mktemp("models") / "clips")


@pytest.fixture(scope="module")
def with_t5(tmp_path_factory: pytest.TempPathFactory) -> Both:
    return Both(small_model("sd3", optional=True), tmp_path_factory.mktemp("models") / "all")


def noise(count: int = 1, height: int = 8, width: int = 8) -> Tensor:
    return NoiseSource(3, count).draw((16, height, width))


def test_a_folder_says_what_it_is(without_t5: Both, with_t5: Both) -> None:
    files = with_t5.files
    assert (files.family.name, files.prediction, files.noise) == ("sd3", "flow", Flow(3.0, 1000))
    assert (files.latent_channels, files.size, files.context_width) == (16, (128, 128), 96)
    assert list(files.text_widths) == ["clip_l", "clip_g", "t5"]
    assert list(without_t5.files.text_widths) == ["clip_l", "clip_g"]


@pytest.mark.parametrize("prompt", [PROMPT, "", "cat " * 90])
def test_text_is_encoded_as_diffusers_encodes_it(with_t5: Both, without_t5: Both, prompt: str) -> None:
    fits = prompt if len(prompt) < 80 else "cat " * 75
    for both in (with_t5, without_t5):
        (part,) = both.parts(fits)
        rows, _, pooled, _ = both.pipeline.encode_prompt(fits, None, None, do_classifier_free_guidance=False)
        assert part.encodings[0].shape == (1, 77 + 256, 96)
        assert difference(part.encodings[0], rows) < 1e-5
        assert difference(part.pooled[0], pooled) < 1e-5


@pytest.mark.parametrize(
    ("count", "height", "width", "negative"), [(1, 8, 8, NEGATIVE), (2, 6, 12, NEGATIVE), (1, 10, 4, "")]
)
def test_latents_are_those_of_diffusers(
    without_t5: Both, count: int, height: int, width: int, negative: str
) -> None:
    start, plan = noise(count, height, width), without_t5.plan()
    found = without_t5.drawn(start * plan.sigmas[0], plan, negative=negative)
    assert difference(found, without_t5.theirs(start, negative=negative)) < 2e-5


def test_a_picture_with_t5_is_that_of_diffusers(with_t5: Both) -> None:
    start, plan = noise(), with_t5.plan()
    found = with_t5.drawn(start, plan)
    expected = (with_t5.theirs(start, output_type="np") * 255).round().astype(np.uint8)
    pixels = vae.decode(weights.load_vae(with_t5.files), found)
    assert np.abs(pixels.astype(int) - expected.astype(int)).max() <= 1
    assert not np.array_equal(pixels, vae.decode(weights.load_vae(with_t5.files), start))


def test_sigmas_and_timesteps_are_those_of_diffusers(without_t5: Both) -> None:
    for shift in (1.0, 3.0):
        for steps in (1, 4, 28):
            scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
            scheduler.set_timesteps(steps)
            plan = schedule("normal", steps, table_of(Flow(shift)))
            assert torch.equal(plan.sigmas, scheduler.sigmas)
            assert torch.equal(plan.timesteps, scheduler.timesteps)


def test_image_to_image_is_that_of_diffusers(without_t5: Both) -> None:
    given = torch.linspace(-1, 1, 16 * 64).reshape(1, 16, 8, 8)
    pipeline: Any = StableDiffusion3Img2ImgPipeline(**without_t5.pipeline.components)
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        PROMPT,
        image=given,
        strength=0.5,
        negative_prompt=NEGATIVE,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        generator=torch.Generator().manual_seed(3),
        height=64,
        width=64,
        output_type="latent",
    ).images
    plan = without_t5.plan().between(2)  # diffusers runs int(4 * 0.5) steps
    found = without_t5.drawn(samplers.start(noise(), plan.sigmas, given, table=plan.table), plan)
    assert difference(found, expected) < 2e-5


def test_pictures_are_encoded_as_diffusers_encodes_them(without_t5: Both) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3), np.uint8)
    network = weights.load_vae(without_t5.files)
    image = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    mode = network.encode(image).latent_dist.mode()
    expected = (mode - network.config.shift_factor) * network.config.scaling_factor
    assert difference(vae.encode(network, pixels), expected) < 1e-5


@pytest.mark.parametrize("stored", [torch.float32, torch.float8_e4m3fn])
def test_a_single_file_with_t5_is_that_folder_if_there_is_a_vocabulary(
    with_t5: Both, tmp_path: Path, stored: torch.dtype
) -> None:
    """Files in the layout of Stability hold T5 in float32, float16 or 8 bits, and never its vocabulary."""
    model = small_model("sd3", optional=True)
    model.save_file(tmp_path / "three.safetensors")
    with safe_open(tmp_path / "three.safetensors", "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    t5 = [name for name in tensors if name.startswith("text_encoders.t5xxl.")]
    assert t5
    for name in t5:
        tensors[name] = tensors[name].to(stored)
    save_file(tensors, tmp_path / "three.safetensors", metadata)
    assert list(describe_file(tmp_path / "three.safetensors").text_widths) == ["clip_l", "clip_g"]
    vocabulary = with_t5.files.tokenizers["tokenizer_3"]
    found = describe_file(tmp_path / "three.safetensors", vocabulary)
    assert found.text_widths == with_t5.files.text_widths
    role = found.roles[2]
    encoder = weights.load_text_encoder(found, component=role.component)
    expected = model.networks[role.component].state_dict()
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, expected[name].to(stored).float())
    assert load_tokenizer(found, role)("a cat").input_ids == with_t5.pipeline.tokenizer_3("a cat").input_ids
