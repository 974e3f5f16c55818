"""Inpainting models, whose UNets read the mask and the masked picture, too: found, and as in diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionInpaintPipeline

from nodes.sd.formats.json_file import ModelError
from nodes.sd.models.checkpoint_file import describe_file
from nodes.sd.models.folder import describe_folder
from tests.nodes.sd.families.latents import (
    GUIDANCE,
    NEGATIVE,
    PROMPT,
    STEPS,
    difference,
    drawn,
    ours,
    parts_of,
)
from tests.nodes.sd.families.small import small_model


@pytest.mark.parametrize("name", ["sd2", "sdxl"])
def test_they_are_variants_of_their_families(tmp_path: Path, name: str) -> None:
    model = small_model(name, in_channels=9)
    model.save_file(tmp_path / "model.safetensors")
    model.save_folder(tmp_path / "model")
    for found in (describe_file(tmp_path / "model.safetensors"), describe_folder(tmp_path / "model")):
        assert (found.family.name, found.unet_channels, found.prediction) == (name, 9, "epsilon")


@pytest.mark.parametrize("channels", [5, 7, 8])
def test_other_channels_are_refused_with_their_number(tmp_path: Path, channels: int) -> None:
    small_model("sd1", in_channels=channels).save_file(tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=f"reads {channels} channels"):
        describe_file(tmp_path / "other.safetensors")


def test_the_latents_are_those_of_diffusers(tmp_path: Path) -> None:
    model = small_model("sd1", in_channels=9)
    model.save_file(tmp_path / "model.safetensors")
    file = describe_file(tmp_path / "model.safetensors")
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 16:48, 24:] = 1
    masked = drawn(5)
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="linspace",
        steps_offset=1,
    )
    pipeline: Any = StableDiffusionInpaintPipeline(
        **parts_of(model),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        PROMPT,
        image=torch.zeros(1, 3, 64, 64),
        mask_image=mask,
        masked_image_latents=masked,
        height=64,
        width=64,
        negative_prompt=NEGATIVE,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        latents=drawn(3),
        output_type="latent",
    ).images
    context = torch.cat([mask[..., ::8, ::8], masked], 1)
    assert difference(ours(file, drawn(3), context), expected) < 2e-5
