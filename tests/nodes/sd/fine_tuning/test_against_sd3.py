"""The losses of trainings on SD 3 are those of diffusers' script with equal data, noise and noise levels.

The reference is written here in the manner of train_dreambooth_lora_sd3.py, with the prompts encoded by the
pipeline. For an embedding, new tokens are in each tokenizer and in the table of each text encoder, as in
textual_inversion_sdxl.py: a table is optimised as a whole, and all other rows are copied back.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.training_utils import compute_loss_weighting_for_sd3
from PIL import Image as pillow
from torch import Tensor

from engine.session import Session
from engine.testing import run_node
from nodes.dataset.load_dataset import LoadDataset
from nodes.model.load import LoadModel
from nodes.model.save_lora import SaveLoRA
from nodes.sd.embeddings.embedding import Embedding
from nodes.sd.fine_tuning.task import TrainingTask
from nodes.sd.lora.lora_value import LoRA
from nodes.sd.lora.written import as_peft
from nodes.training.train_lora import TrainLoRA
from nodes.training.train_ti import TrainTI
from tests.counts import short_and_full
from tests.nodes.sd.families.pipelines import sd3_pipeline

RATE = 0.005
SHARED: dict[str, Any] = {
    "name": "zzz",
    "rate": str(RATE),
    "weight_decay": 0.01,
    "clip": "off",
    "batch": 2,
    "width": 32,
    "height": 32,
    "sample_every": 0,
    "copy_every": 0,
    "latent_sampling": "deterministic",
}
_WORDS = {"red": (220, 40, 40), "blue": (40, 75, 210), "green table": (45, 160, 65)}


class Drawn(NamedTuple):
    """What a step has drawn at random."""

    prompts: list[str]
    latents: Tensor
    noise: Tensor
    timesteps: Tensor


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Drawn]:
    """Keeps what each step of a training draws."""
    kept: list[Drawn] = []
    prompts: list[str] = []
    loss, error = TrainingTask.loss, TrainingTask._error

    def error_and_keep(self: TrainingTask, cond: Any, latents: Tensor, noise: Any, weights: Any) -> Tensor:
        kept.append(Drawn(list(prompts), latents, noise.target, noise.timesteps))
        return error(self, cond, latents, noise, weights)

    def loss_and_keep(self: TrainingTask, draws: Any, place: Any) -> Tensor:
        own = self.encode

        def encode_and_keep(texts: Sequence[str]) -> Any:
            prompts[:] = texts
            return own(texts)

        self.encode = encode_and_keep
        try:
            return loss(self, draws, place)
        finally:
            self.encode = own

    monkeypatch.setattr(TrainingTask, "_error", error_and_keep)
    monkeypatch.setattr(TrainingTask, "loss", loss_and_keep)
    return kept


@pytest.fixture
def dataset(tmp_path: Path) -> dict[str, Tensor]:
    """Three pictures with captions; the values by caption, [1, 3, height, width] from -1 to 1."""
    values = {}
    (tmp_path / "pictures").mkdir()
    for name, colour in _WORDS.items():
        pixels = np.full((32, 32, 3), 245, np.uint8)
        pixels[8:24, 6:22] = colour
        pillow.fromarray(pixels).save(tmp_path / "pictures" / f"{name}.png")
        values[name] = torch.from_numpy(pixels.astype(np.float32) / 255 * 2 - 1).permute(2, 0, 1)[None]
    return values


def parts_of(session: Session, home: Path, tmp_path: Path, *, t5: bool) -> tuple[dict[str, Any], Any]:
    """The inputs of a training, and a pipeline of diffusers of the same model."""
    folder = home / "models" / "checkpoints" / "small"
    pipeline = sd3_pipeline(folder, t5=t5)
    parts: dict[str, Any] = dict(run_node(session, LoadModel(model="small")))
    parts["dataset"] = run_node(session, LoadDataset(folder=str(tmp_path / "pictures")))["out"]
    return parts, pipeline


def trained(session: Session, node: Any) -> tuple[Any, list[float]]:
    """The outputs of a training, and its losses."""
    rows: list[float] = []

    def keep(event: Any) -> None:
        if type(event).__name__ == "Metrics":
            rows.extend(row["loss"] for row in event.rows)

    return run_node(session, node, emit=keep), rows


def reference_loss(
    pipeline: Any, step: Drawn, pictures: dict[str, Tensor], weighting: str, text: Sequence[str]
) -> Tensor:
    """The loss of a step as diffusers' script computes it."""
    scheduler: Any = FlowMatchEulerDiscreteScheduler(shift=3.0)
    vae, transformer = pipeline.vae, pipeline.transformer
    for prompt, own in zip(step.prompts, step.latents, strict=True):
        (picture,) = (value for word, value in pictures.items() if prompt.endswith(word))
        mean = vae.encode(picture).latent_dist.mean
        encoded = (mean - vae.config.shift_factor) * vae.config.scaling_factor
        assert torch.allclose(encoded[0], own, atol=1e-3)
    latents = step.latents  # so that the last bits of the VAE do not count in every step
    rows, _, pooled, _ = pipeline.encode_prompt(list(text), None, None, do_classifier_free_guidance=False)
    timesteps = scheduler.timesteps[999 - step.timesteps]
    places = [(scheduler.timesteps == timestep).nonzero().item() for timestep in timesteps]
    sigmas = scheduler.sigmas[places].flatten()[:, None, None, None]
    noisy = (1.0 - sigmas) * latents + sigmas * step.noise
    predicted = transformer(
        hidden_states=noisy,
        timestep=timesteps,
        encoder_hidden_states=rows,
        pooled_projections=pooled,
        return_dict=False,
    )[0]
    weights = compute_loss_weighting_for_sd3(weighting, sigmas)
    target = step.noise - latents
    error = weights.float() * (predicted.float() - target.float()) ** 2
    loss: Tensor = error.reshape(len(target), -1).mean(1).mean()
    return loss


def train_as_diffusers(
    weights: Sequence[Tensor],
    drawn: Sequence[Drawn],
    loss_of: Callable[[Drawn], Tensor],
    restore: Callable[[], None] = lambda: None,
) -> list[float]:
    """Train weights with the optimizer of diffusers' scripts, and return the losses.

    Args:
        weights: the tensors to train.
        drawn: the pictures, noise and noise levels of each step.
        loss_of: computes the loss of a step.
        restore: called after each step, to undo the changes of rows that are not trained.
    """
    optimizer = torch.optim.AdamW(list(weights), lr=RATE, betas=(0.9, 0.999), weight_decay=1e-2, eps=1e-8)
    losses = []
    for step in drawn:
        loss = loss_of(step)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            restore()
        losses.append(loss.item())
    return losses


def train_rows_as_diffusers(
    tables: dict[str, Tensor],
    ids: dict[str, list[int]],
    drawn: Sequence[Drawn],
    loss_of: Callable[[Drawn], Tensor],
) -> tuple[list[float], dict[str, Tensor]]:
    """Train some rows of tables as textual_inversion_sdxl.py does; return the losses and the old tables."""
    originals = {name: table.detach().clone() for name, table in tables.items()}

    def restore() -> None:
        for name, table in tables.items():
            others = torch.ones(len(table), dtype=torch.bool)
            others[ids[name]] = False
            table[others] = originals[name][others]

    return train_as_diffusers([*tables.values()], drawn, loss_of, restore), originals


@short_and_full("steps", 4, 50)
@pytest.mark.parametrize(("t5", "weighting"), [(False, "logit_normal"), (True, "cosmap")])
def test_an_embedding_is_trained_as_in_diffusers(
    session: Session,
    home: Path,
    tmp_path: Path,
    dataset: dict[str, Tensor],
    drawn: list[Drawn],
    t5: bool,
    weighting: Any,
    steps: int,
) -> None:
    parts, pipeline = parts_of(session, home, tmp_path, t5=t5)
    own = {"steps": steps, "vectors": 2, "initial_text": "cat", "noise_levels": weighting}
    made, rows = trained(session, TrainTI(**parts, **SHARED, **own, template_text="a [name] on [filewords]"))
    embedding = made["embedding"]
    assert isinstance(embedding, Embedding)

    tokens = ["<zzz>", "<zzz>_1"]
    tables: dict[str, Tensor] = {}
    ids: dict[str, list[int]] = {}
    for name, suffix in {"clip_l": "", "clip_g": "_2", **({"t5": "_3"} if t5 else {})}.items():
        encoder = getattr(pipeline, f"text_encoder{suffix}")
        tokenizer = copy.deepcopy(getattr(pipeline, f"tokenizer{suffix}"))  # other tests use it, too
        setattr(pipeline, f"tokenizer{suffix}", tokenizer)
        (initial,) = tokenizer.encode("cat", add_special_tokens=False)
        assert tokenizer.add_tokens(tokens) == 2
        ids[name] = tokenizer.convert_tokens_to_ids(tokens)
        encoder.resize_token_embeddings(max(ids[name]) + 1, mean_resizing=False)
        tables[name] = encoder.get_input_embeddings().weight
        with torch.no_grad():
            tables[name][ids[name]] = tables[name][initial].clone()
        tables[name].requires_grad_(True)

    def loss_of(step: Drawn) -> Tensor:
        text = [prompt.replace("zzz", "<zzz><zzz>_1") for prompt in step.prompts]
        return reference_loss(pipeline, step, dataset, weighting, text)

    losses, originals = train_rows_as_diffusers(tables, ids, drawn, loss_of)
    assert len(losses) == len(rows) == steps
    assert {prompt for step in drawn for prompt in step.prompts} == {f"a zzz on {word}" for word in _WORDS}
    assert max(abs(a - b) / b for a, b in zip(rows, losses, strict=True)) < 1e-6
    assert list(embedding.vectors) == list(tables)
    for name, table in tables.items():
        first = originals[name][ids[name]]
        assert torch.allclose(embedding.vectors[name], table[ids[name]].detach(), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(embedding.vectors[name], first, atol=1e-3), name


@pytest.mark.filterwarnings("ignore")  # peft's and diffusers' own
@short_and_full("steps", 4, 50)
@pytest.mark.parametrize("dora", [False, True])
def test_a_lora_is_trained_as_in_diffusers_and_its_file_loads_there(
    session: Session,
    home: Path,
    tmp_path: Path,
    dataset: dict[str, Tensor],
    drawn: list[Drawn],
    dora: bool,
    steps: int,
) -> None:
    pytest.importorskip("peft")
    parts, pipeline = parts_of(session, home, tmp_path, t5=False)
    shared = {**SHARED, "rank": 4, "alpha": 2.0, "dora": dora}
    before = run_node(session, TrainLoRA(**parts, **shared, steps=0))["lora"]
    made, rows = trained(session, TrainLoRA(**parts, **shared, steps=steps))
    after = made["lora"]
    assert isinstance(before, LoRA)
    assert isinstance(after, LoRA)

    (tmp_path / "before.safetensors").write_bytes(as_peft(before))
    pipeline.load_lora_weights(str(tmp_path), weight_name="before.safetensors")
    weights = {name: one for name, one in pipeline.transformer.named_parameters() if "lora_" in name}
    assert len(weights) == (3 if dora else 2) * len({name.partition(".lora_")[0] for name in weights})
    for weight in weights.values():
        weight.requires_grad_(True)
    losses = train_as_diffusers(
        [*weights.values()],
        drawn,
        lambda step: reference_loss(pipeline, step, dataset, "logit_normal", step.prompts),
    )
    assert len(losses) == len(rows) == steps
    assert max(abs(a - b) / b for a, b in zip(rows, losses, strict=True)) < 1e-6
    assert losses[-1] != losses[0]

    saved = Path(str(run_node(session, SaveLoRA(lora=after, format="peft"))["out"]))
    fresh = sd3_pipeline(tmp_path / "fresh", t5=False)
    generator = torch.Generator().manual_seed(3)
    inputs = {
        "hidden_states": torch.randn(1, 16, 4, 4, generator=generator),
        "encoder_hidden_states": torch.randn(1, 77, 96, generator=generator),
        "pooled_projections": torch.randn(1, 40, generator=generator),
        "timestep": torch.tensor([500.0]),
        "return_dict": False,
    }
    with torch.no_grad():
        plain = fresh.transformer(**inputs)[0]
        fresh.load_lora_weights(str(saved.parent), weight_name=saved.name)
        loaded = fresh.transformer(**inputs)[0]
        trained_there = pipeline.transformer(**inputs)[0]
    assert float((loaded - plain).abs().max()) > 1e-3
    assert torch.allclose(loaded, trained_there, atol=1e-4)
