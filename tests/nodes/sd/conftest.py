"""The small trained model that the diffusion tests run on, and diffusers' own pipeline around it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

import nodes.sd
from nodes.sd.families.family import Betas
from nodes.sd.models import text_encoder as text
from nodes.sd.models import weights
from nodes.sd.models.clip import ClipTextModel
from nodes.sd.models.files import ModelFiles
from nodes.sd.models.folder import describe_folder
from nodes.sd.models.tokenizer import ClipTokenizer, load_tokenizer
from nodes.sd.sampling.noise_table import NoiseTable
from tests.nodes.sd.in_transformers import encoder_of, tokenizer_of

torch.set_num_threads(1)

TINY = Path(nodes.sd.__file__).parent / "tiny" / "weights"


@pytest.fixture(scope="session")
def folder() -> ModelFiles:
    return describe_folder(TINY)


@pytest.fixture(scope="session")
def table(folder: ModelFiles) -> NoiseTable:
    assert isinstance(folder.noise, Betas)
    return NoiseTable(folder.noise)


@pytest.fixture(scope="session")
def unet(folder: ModelFiles) -> UNet2DConditionModel:
    return weights.load_unet(folder)


@pytest.fixture(scope="session")
def vae(folder: ModelFiles) -> AutoencoderKL:
    return weights.load_vae(folder)


@pytest.fixture(scope="session")
def encoder(folder: ModelFiles) -> ClipTextModel:
    found: ClipTextModel = weights.load_text_encoder(folder)
    return found


@pytest.fixture(scope="session")
def tokenizer(folder: ModelFiles) -> ClipTokenizer:
    found: ClipTokenizer = load_tokenizer(folder)
    return found


@pytest.fixture(scope="session")
def read(encoder: ClipTextModel, tokenizer: ClipTokenizer) -> Callable[[str], torch.Tensor]:
    return lambda prompt: text.encode(encoder, text.tokenize(tokenizer, prompt).ids)


Pipeline = Callable[..., Any]


@pytest.fixture(scope="session")
def pipeline(unet: UNet2DConditionModel, vae: AutoencoderKL, encoder: ClipTextModel) -> Pipeline:
    """Makes diffusers' pipeline of the same parts: a scheduler class, its settings, the pipeline's class."""
    words, speller = encoder_of(encoder), tokenizer_of(TINY / "tokenizer")
    trained = json.loads((TINY / "scheduler" / "scheduler_config.json").read_text())

    def make(scheduler: Any, kind: Any = StableDiffusionPipeline, **settings: object) -> Any:
        made = kind(
            vae=vae,
            text_encoder=words,
            tokenizer=speller,
            unet=unet,
            scheduler=scheduler.from_config({**trained, **settings}),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        made.set_progress_bar_config(disable=True)
        return made

    return make


@pytest.fixture(scope="session")
def spare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that links may point to: a test that writes through one harms nothing but tests."""
    place = tmp_path_factory.mktemp("spare") / "model"
    shutil.copytree(TINY, place)
    return place


@pytest.fixture
def copy(spare: Path, tmp_path: Path) -> Path:
    """A copy of the small model to damage. Its large files are links, to be unlinked before writing."""
    place = tmp_path / "model"
    for file in spare.rglob("*"):
        if file.is_file():
            target = place / file.relative_to(spare)
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.stat().st_size > 100_000:
                target.symlink_to(file)
            else:
                shutil.copy(file, target)
    return place
