"""Every built-in value comes back from its bytes exactly as it was, and says so."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from engine.packing import as_kept
from engine.testing import check_lossless
from engine.values import Value
from nodes.files.checkpoints import Checkpoint
from nodes.files.controlnet_files import ControlNet
from nodes.files.upscaler_files import Upscaler
from nodes.picture_sets.blip import Blip
from nodes.picture_sets.captioner import Captioner
from nodes.picture_sets.dataset import DatasetFile, DatasetPicture, LeftOut
from nodes.picture_sets.edits import Augment, Crop, Mirror, Pad, Resize
from nodes.sd.embeddings.embedding import Embedding
from nodes.sd.families.family import Betas, SizeHints
from nodes.sd.hypernetworks.hypernetwork_value import Hypernetwork
from nodes.sd.hypernetworks.layout import Layout
from nodes.sd.lora.lora_value import LoRA
from nodes.sd.prompts.control import Control
from nodes.sd.prompts.regions import Area, Region, Span
from nodes.sd.prompts.timeline import PromptPart
from nodes.value_types.merge_terms import Term
from nodes.value_types.recipes import CheckpointPart, Model, PatchedPart, TextEncoder, Vae
from nodes.values import Conditioning, Dataset, Image, Latent, Mask

CHECKPOINT = Checkpoint(
    "x", "0" * 64, "sd1", "epsilon", Betas(end=0.1 + 0.2), 4, 8, 512, 512, (("clip_l", 768),), 768, 4
)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


PICTURE = DatasetPicture(
    DatasetFile("pictures", "a/1.png", "0" * 64),
    "a man",
    "jsonl",
    {"artist": "Ada", "year": 1843},
    DatasetFile("masks", "a/1.mask.png", "1" * 64),
    (Resize(64, 48), Crop(0, 1, 32, 32), Pad(1, 2, 3, 4, 5, 6, 7), Mirror("both"), Augment(0.1 + 0.2)),
    ("duplicate",),
)

VALUES = [
    Dataset(
        (PICTURE, DatasetPicture(DatasetFile("pictures", "2.png", "2" * 64))),
        (LeftOut("3.png", "it is empty"),),
    ),
    Model(CHECKPOINT),
    TextEncoder(CHECKPOINT),
    Vae(CHECKPOINT),
    Vae(
        CHECKPOINT,
        (Term(Vae(CHECKPOINT), 0.1 + 0.2), Term(Vae(CHECKPOINT, (Term(Vae(CHECKPOINT), 1.0),)), -1.0)),
    ),
    Model(CHECKPOINT, merge=(Term(Model(CHECKPOINT), 0.5, (0.1,) * 26), Term(Model(CHECKPOINT), 0.5))),
    TextEncoder(CHECKPOINT, merge=(Term(TextEncoder(CHECKPOINT), 0.25),)),
    Upscaler("0" * 64, "x.pth"),
    Conditioning(noise(1, 77, 8), 3),
    Conditioning(noise(1, 77, 8), 3, pooled=noise(1, 8)),
    Conditioning(noise(1, 77, 8), 3, size=SizeHints((640, 480), (1, 2), None, 6.5)),
    Latent(noise(2, 4, 8, 8) * 1e-30),
    Latent(noise(1, 4, 8, 8).transpose(2, 3)),
    Latent(noise(2, 4, 8, 8), noise(1, 64, 64).abs() / 9, noise(2, 4, 8, 8), "sdxl"),
    ControlNet("0" * 64, '{"a": 1}', "edges/diffusion_pytorch_model.safetensors"),
    Image(np.random.default_rng(1).integers(0, 256, (2, 9, 7, 3), np.uint8)),
    Mask(np.random.default_rng(2).random((2, 9, 7), np.float32)),
    Mask(np.arange(256, dtype=np.float32).reshape(2, 8, 16) / np.float32(255)),
    Embedding("word", {"clip_l": noise(3, 768), "clip_g": noise(3, 1280)}),
    Blip("models/blip", (("config.json", "0" * 64),), "a photo of", 3),
    LoRA(
        "style",
        {"unet.a.alpha": noise(1), "unet.a.lora_up.weight": noise(8, 2)},
        {"ss_rank": "2"},
        {"a": "b"},
    ),
    Hypernetwork(
        "style",
        {"8.k.linear.0.weight": noise(16, 8), "8.v.linear.0.weight": noise(16, 8)},
        Layout((1, 1.5, 1), "relu", False, True, (0, 0.3, 0)),
        "Normal",
        5,
        "abc",
        "base",
        {"rate": "0.1"},
    ),
    Embedding("word", {"clip_l": noise(3, 768)}, 7, "abc", "base", {"rate": "0.1"}),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_lossless_values_are_restored_exactly(value: Value) -> None:
    assert value.lossless
    check_lossless(value)
    assert as_kept(value) is value


def test_a_changing_prompt_comes_back_exactly() -> None:
    first, second = noise(1, 77, 8), noise(1, 77, 8) + 1
    part = PromptPart((first, second), weight=0.1 + 0.2)
    check_lossless(Conditioning(first, 3, (part,)))
    vectors = noise(1, 4), noise(1, 4) + 1
    check_lossless(Conditioning(first, 3, (part._replace(pooled=vectors, size=SizeHints((64, 48))),)))


def test_a_combined_prompt_comes_back_with_its_places_and_its_controlnets() -> None:
    rows, mask, hint = noise(1, 77, 8), noise(1, 6, 7), noise(1, 3, 8, 8)
    control = Control("0" * 64, "{}", "edges", hint, 0.7, Span(0.1, 0.9), (0.5, 1.0), True)
    parts = (
        PromptPart((rows,), pooled=(noise(1, 4),), controls=(control, control)),
        PromptPart((rows,), group=1, region=Region(Area(0.5, 1, 0, 0.5, relative=True), strength=0.3)),
        PromptPart((rows + 1,), group=2, region=Region(mask=mask, crops_to_mask=True), span=Span(0.2, 0.4)),
    )
    check_lossless(Conditioning(rows, 3).with_parts(parts))


def test_a_checkpoint_from_before_there_were_families_is_read() -> None:
    """A store may hold recipes of earlier releases, which knew one text encoder and its width."""
    plain = dataclasses.asdict(CHECKPOINT)
    for name in ("text_widths", "context_width", "unet_channels"):
        del plain[name]
    assert Checkpoint.from_json({**plain, "text_width": 768}) == CHECKPOINT


def test_every_built_in_value_class_is_tested() -> None:
    built_in = {cls for cls in Value.types.values() if cls.__module__.startswith("nodes.")}
    tested = {type(value) for value in VALUES}
    assert {cls for cls in built_in if cls.lossless} == tested
    assert built_in - tested <= {CheckpointPart, PatchedPart, Captioner}
