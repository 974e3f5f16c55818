"""The losses of trainings on FLUX.1 are those of diffusers' script with equal data, noise and noise levels.

The reference is written here in the manner of train_dreambooth_lora_flux.py, at a guidance of 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxPipeline
from diffusers.training_utils import compute_loss_weighting_for_sd3
from torch import Tensor

from engine.session import Session
from engine.testing import run_node
from nodes.dataset.load_dataset import LoadDataset
from nodes.model.load import LoadModel
from nodes.model.save_lora import SaveLoRA
from nodes.sd.embeddings.embedding import Embedding
from nodes.sd.lora.lora_value import LoRA
from nodes.sd.lora.written import as_peft
from nodes.training.train_lora import TrainLoRA
from nodes.training.train_ti import TrainTI
from tests.counts import short_and_full
from tests.nodes.sd.families.pipelines import LENGTHS, flux_pipeline
from tests.nodes.sd.fine_tuning.test_against_sd3 import (
    SHARED,
    Drawn,
    dataset,
    drawn,
    train_as_diffusers,
    train_rows_as_diffusers,
    trained,
)

__all__ = ["dataset", "drawn"]  # fixtures
TOKENS = ["<zzz>", "<yyy>"]
"""Not `<zzz>_1`, with which the pipeline would repeat the first one."""


def parts_of(session: Session, home: Path, tmp_path: Path, name: str) -> tuple[dict[str, Any], Any]:
    """The inputs of a training, and a pipeline of diffusers of the same model."""
    pipeline = flux_pipeline(home / "models" / "checkpoints" / "small", name)
    parts: dict[str, Any] = dict(run_node(session, LoadModel(model="small")))
    parts["dataset"] = run_node(session, LoadDataset(folder=str(tmp_path / "pictures")))["out"]
    return parts, pipeline


def predicted(
    pipeline: Any, noisy: Tensor, timesteps: Tensor, rows: Tensor, pooled: Tensor, guidance: float
) -> Tensor:
    """What the transformer predicts, as the script calls it."""
    batch, channels, height, width = noisy.shape
    guided = pipeline.transformer.config.guidance_embeds
    found = pipeline.transformer(
        hidden_states=FluxPipeline._pack_latents(noisy, batch, channels, height, width),
        timestep=timesteps / 1000,
        guidance=torch.full((batch,), guidance) if guided else None,
        pooled_projections=pooled,
        encoder_hidden_states=rows,
        txt_ids=torch.zeros(rows.shape[1], 3),
        img_ids=FluxPipeline._prepare_latent_image_ids(
            batch, height // 2, width // 2, noisy.device, noisy.dtype
        ),
        return_dict=False,
    )[0]
    unpacked: Tensor = FluxPipeline._unpack_latents(found, 8 * height, 8 * width, 8)
    return unpacked


def reference_loss(pipeline: Any, step: Drawn, name: str, weighting: Any, text: list[str]) -> Tensor:
    """The loss of a step as diffusers' script computes it, with the levels of an unshifted scheduler."""
    rows, pooled, _ = pipeline.encode_prompt(text, max_sequence_length=LENGTHS[name])
    sigmas = ((step.timesteps + 1) / 1000)[:, None, None, None]
    noisy = (1.0 - sigmas) * step.latents + sigmas * step.noise
    found = predicted(pipeline, noisy, sigmas.flatten() * 1000, rows, pooled, 1.0)
    weights = compute_loss_weighting_for_sd3(weighting, sigmas)
    error = weights.float() * (found.float() - (step.noise - step.latents).float()) ** 2
    loss: Tensor = error.reshape(len(error), -1).mean(1).mean()
    return loss


@pytest.mark.filterwarnings("ignore")  # peft's and diffusers' own
@short_and_full("steps", 4, 50)
@pytest.mark.parametrize("name", ["flux", "flux-schnell"])
def test_a_lora_is_trained_as_in_diffusers_and_its_file_loads_there(
    session: Session,
    home: Path,
    tmp_path: Path,
    dataset: dict[str, Tensor],
    drawn: list[Drawn],
    name: str,
    steps: int,
) -> None:
    pytest.importorskip("peft")
    parts, pipeline = parts_of(session, home, tmp_path, name)
    shared = {**SHARED, "rank": 4, "alpha": 2.0, "targets": "transformer", "gradient_checkpointing": True}
    before = run_node(session, TrainLoRA(**parts, **shared, steps=0))["lora"]
    made, rows = trained(session, TrainLoRA(**parts, **shared, steps=steps))
    after = made["lora"]
    assert isinstance(before, LoRA)
    assert isinstance(after, LoRA)
    assert sum("single_transformer_blocks.0" in key and "up" in key for key in after.tensors) == 5

    (tmp_path / "before.safetensors").write_bytes(as_peft(before))
    pipeline.load_lora_weights(str(tmp_path), weight_name="before.safetensors")
    weights = {key: one for key, one in pipeline.transformer.named_parameters() if "lora_" in key}
    assert len(weights) == 2 * len(before.tensors) // 3
    for weight in weights.values():
        weight.requires_grad_(True)
    losses = train_as_diffusers(
        [*weights.values()],
        drawn,
        lambda step: reference_loss(pipeline, step, name, "logit_normal", step.prompts),
    )
    assert len(losses) == len(rows) == steps
    assert max(abs(a - b) / b for a, b in zip(rows, losses, strict=True)) < 2e-6
    assert losses[-1] != losses[0]

    saved = Path(str(run_node(session, SaveLoRA(lora=after, format="peft"))["out"]))
    fresh = flux_pipeline(tmp_path / "fresh", name)
    generator = torch.Generator().manual_seed(3)
    shapes = ((1, 16, 4, 4), (1, 77, 96), (1, 32))
    noisy, text, pooled = (torch.randn(shape, generator=generator) for shape in shapes)
    inputs = (noisy, torch.tensor([500.0]), text, pooled, 3.5)
    with torch.no_grad():
        plain = predicted(fresh, *inputs)
        fresh.load_lora_weights(str(saved.parent), weight_name=saved.name)
        loaded = predicted(fresh, *inputs)
        trained_there = predicted(pipeline, *inputs)
    assert float((loaded - plain).abs().max()) > 1e-3
    assert torch.allclose(loaded, trained_there, atol=1e-4)


@short_and_full("steps", 4, 50)
def test_an_embedding_is_trained_as_in_diffusers(
    session: Session,
    home: Path,
    tmp_path: Path,
    dataset: dict[str, Tensor],
    drawn: list[Drawn],
    steps: int,
) -> None:
    """New tokens are in both tokenizers; the tables are optimised, and all other rows are copied back."""
    parts, pipeline = parts_of(session, home, tmp_path, "flux")
    own = {"steps": steps, "vectors": 2, "initial_text": "cat", "sample_every": 2, "sample_steps": 2}
    made, rows = trained(
        session, TrainTI(**parts, **{**SHARED, **own}, template_text="a [name] on [filewords]")
    )
    embedding = made["embedding"]
    assert isinstance(embedding, Embedding)
    tables: dict[str, Tensor] = {}
    ids: dict[str, list[int]] = {}
    # With the end token 2 of its config, transformers takes the largest token for the end: a new one.
    pipeline.text_encoder.eos_token_id = 49407
    for name, suffix in {"clip_l": "", "t5": "_2"}.items():
        encoder, tokenizer = (getattr(pipeline, f"{part}{suffix}") for part in ("text_encoder", "tokenizer"))
        (initial,) = tokenizer.encode("cat", add_special_tokens=False)
        assert tokenizer.add_tokens(TOKENS) == 2
        ids[name] = tokenizer.convert_tokens_to_ids(TOKENS)
        encoder.resize_token_embeddings(max(ids[name]) + 1, mean_resizing=False)
        tables[name] = encoder.get_input_embeddings().weight
        with torch.no_grad():
            tables[name][ids[name]] = tables[name][initial].clone()
        tables[name].requires_grad_(True)

    def loss_of(step: Drawn) -> Tensor:
        text = [prompt.replace("zzz", "".join(TOKENS)) for prompt in step.prompts]
        return reference_loss(pipeline, step, "flux", "logit_normal", text)

    losses, originals = train_rows_as_diffusers(tables, ids, drawn, loss_of)
    assert len(losses) == len(rows) == steps
    assert max(abs(a - b) / b for a, b in zip(rows, losses, strict=True)) < 2e-6
    assert list(embedding.vectors) == ["clip_l", "t5"]
    for name, table in tables.items():
        first = originals[name][ids[name]]
        assert torch.allclose(embedding.vectors[name], table[ids[name]].detach(), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(embedding.vectors[name], first, atol=1e-3), name
