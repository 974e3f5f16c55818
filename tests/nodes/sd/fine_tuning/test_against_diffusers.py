"""The losses of a training are those of diffusers' textual_inversion.py with equal data and noise.

The reference is written here as that script does it: new tokens in the tokenizer and in the table of the text
encoder, which is optimised as a whole; after each step all other rows are copied back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from PIL import Image as pillow
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPTextModel, CLIPTokenizer

from engine.session import Session
from engine.testing import run_node
from nodes.dataset.load_dataset import LoadDataset
from nodes.model.load import LoadModel
from nodes.sd.embeddings.embedding import Embedding
from nodes.sd.fine_tuning.added_noise import Noise
from nodes.sd.fine_tuning.prompt_encoders import EncodedBatch, PromptEncoders
from nodes.sd.fine_tuning.task import TrainingTask
from nodes.training.train_ti import TrainTI
from tests.nodes.sd.conftest import TINY

STEPS = 50


class Drawn(NamedTuple):
    """What a step has drawn at random."""

    prompt: str
    latents: Tensor
    noise: Tensor
    timesteps: Tensor


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Drawn]:
    """Keeps what each step of a training draws."""
    kept: list[Drawn] = []
    prompts: list[str] = []
    encode, error = PromptEncoders.encode, TrainingTask._error

    def encode_and_keep(self: PromptEncoders, texts: Any, vectors: Any) -> EncodedBatch:
        prompts[:] = texts
        return encode(self, texts, vectors)

    def error_and_keep(self: TrainingTask, cond: Any, latents: Tensor, noise: Noise, weights: Any) -> Tensor:
        kept.append(Drawn(prompts[0], latents, noise.target, noise.timesteps))
        return error(self, cond, latents, noise, weights)

    monkeypatch.setattr(PromptEncoders, "encode", encode_and_keep)
    monkeypatch.setattr(TrainingTask, "_error", error_and_keep)
    return kept


def reference(
    drawn: list[Drawn], pictures: dict[str, Tensor], learning_rate: float
) -> tuple[list[float], Tensor]:
    """The losses of diffusers' loop, and the vectors at its end.

    Args:
        drawn: the random choices of each step.
        pictures: the pictures by the prompt that names them, [1, 3, height, width] from -1 to 1.
        learning_rate: that of AdamW, whose other settings are the script's defaults.
    """
    tokenizer = CLIPTokenizer.from_pretrained(TINY / "tokenizer")
    text_encoder = CLIPTextModel.from_pretrained(TINY / "text_encoder", dtype=torch.float32)
    unet = UNet2DConditionModel.from_pretrained(TINY / "unet", torch_dtype=torch.float32)
    vae = AutoencoderKL.from_pretrained(TINY / "vae", torch_dtype=torch.float32)
    scheduler = DDPMScheduler.from_pretrained(TINY / "scheduler")
    tokens = ["<zzz>", "<zzz>_1"]
    assert tokenizer.add_tokens(tokens) == 2
    (initial,) = tokenizer.encode("shape", add_special_tokens=False)
    ids = tokenizer.convert_tokens_to_ids(tokens)
    text_encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    table = text_encoder.get_input_embeddings().weight
    with torch.no_grad():
        for number in ids:
            table[number] = table[initial].clone()
    vae.requires_grad_(False)
    unet.requires_grad_(False)
    text_encoder.requires_grad_(False)
    table.requires_grad_(True)
    optimizer = torch.optim.AdamW([table], lr=learning_rate, betas=(0.9, 0.999), weight_decay=1e-2, eps=1e-8)
    original = table.detach().clone()
    others = torch.ones(len(table), dtype=torch.bool)
    others[ids] = False
    losses = []
    for step in drawn:
        encoded = vae.encode(pictures[step.prompt]).latent_dist.mean * vae.config.scaling_factor
        assert torch.allclose(encoded, step.latents, atol=1e-5)
        latents = step.latents  # so that the last bits of the VAE do not count fifty times
        noisy = scheduler.add_noise(latents, step.noise, step.timesteps)
        text = step.prompt.replace("zzz", "<zzz> <zzz>_1")
        read = tokenizer(text, padding="max_length", truncation=True, max_length=77, return_tensors="pt")
        hidden = text_encoder(read.input_ids)[0]
        predicted = unet(noisy, step.timesteps, hidden).sample
        target = step.noise
        if scheduler.config.prediction_type == "v_prediction":
            target = scheduler.get_velocity(latents, step.noise, step.timesteps)
        loss = F.mse_loss(predicted.float(), target.float(), reduction="mean")
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            table[others] = original[others]
        losses.append(loss.item())
    return losses, table[ids].detach()


def test_losses_and_vectors_are_those_of_diffusers(
    session: Session, tmp_path: Path, drawn: list[Drawn]
) -> None:
    pictures = {}
    for name, colour in (("red", (220, 40, 40)), ("blue", (40, 75, 210)), ("green", (45, 160, 65))):
        pixels = np.full((32, 32, 3), 245, np.uint8)
        pixels[8:24, 6:22] = colour
        pillow.fromarray(pixels).save(tmp_path / f"{name}.png")
        values = torch.from_numpy(pixels.astype(np.float32) / 255 * 2 - 1)
        pictures[f"a picture of zzz, {name}"] = values.permute(2, 0, 1)[None]
    parts: dict[str, Any] = dict(run_node(session, LoadModel()))
    parts["dataset"] = run_node(session, LoadDataset(folder=str(tmp_path)))["out"]
    rows: list[float] = []

    def keep(event: Any) -> None:
        if type(event).__name__ == "Metrics":
            rows.extend(row["loss"] for row in event.rows)

    trained = run_node(
        session,
        TrainTI(
            **parts,
            name="zzz",
            initial_text="shape",
            vectors=2,
            steps=STEPS,
            rate="0.005",
            weight_decay=0.01,
            clip="off",
            width=32,
            height=32,
            sample_every=0,
            copy_every=0,
            latent_sampling="deterministic",
            template_text="a picture of [name], [filewords]",
        ),
        emit=keep,
    )["embedding"]
    assert isinstance(trained, Embedding)
    losses, vectors = reference(drawn, pictures, 0.005)
    assert len(losses) == len(rows) == STEPS
    assert {step.prompt for step in drawn} == pictures.keys()
    assert max(abs(a - b) / b for a, b in zip(rows, losses, strict=True)) < 1e-6
    assert torch.allclose(trained.vectors["clip_l"], vectors, rtol=1e-4, atol=1e-6)
