"""A training encodes prompts as EncodePrompt does, also with T5, and pads the shorter ones of a batch."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from nodes.sd.fine_tuning.flow_loss import FlowLoss
from nodes.sd.fine_tuning.prompt_encoders import PromptEncoders
from nodes.sd.fine_tuning.prompts import Prompts
from nodes.sd.fine_tuning.task import TrainingTask
from nodes.sd.models import weights
from nodes.sd.models.folder import describe_folder
from nodes.sd.models.loaded_encoder import LoadedEncoder
from nodes.sd.models.tokenizer import load_tokenizer
from nodes.sd.prompts.encoded import Settings
from nodes.sd.prompts.encoding import ContextShape, context_shape, encode_with_all
from nodes.sd.prompts.triggers import NoTriggers
from nodes.sd.training_loop.data_order import DataOrder
from tests.nodes.sd.families.small import small_model


class Encoders(NamedTuple):
    """The text encoders of a small model."""

    loaded: list[LoadedEncoder]
    shape: ContextShape | None

    def training(self, clip_skip: int = 1) -> PromptEncoders:
        """As a training uses them."""
        return PromptEncoders(self.loaded, NoTriggers(), None, clip_skip=clip_skip, shape=self.shape)


@pytest.fixture(scope="module", params=[False, True], ids=["clips", "t5"])
def encoders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoders:
    return _encoders("sd3", tmp_path_factory.mktemp("model") / "small", optional=request.param)


def _encoders(name: str, folder: Path, *, optional: bool) -> Encoders:
    small_model(name, optional=optional).save_folder(folder)
    files = describe_folder(folder)
    loaded = [
        LoadedEncoder(
            role, load_tokenizer(files, role), weights.load_text_encoder(files, component=role.component)
        )
        for role in files.roles
    ]
    return Encoders(loaded, context_shape(files.family, files.text_widths, files.context_width))


@pytest.mark.parametrize(
    "prompt",
    ["a cat", "", "a (red:1.4) cube [on] table", "a cat BREAK a red cube", "cat " * 90, "cat, " * 200],
)
@pytest.mark.parametrize("clip_skip", [1, 3])
def test_prompts_are_encoded_as_encodeprompt_does(encoders: Encoders, prompt: str, clip_skip: int) -> None:
    settings = Settings(clip_skip=clip_skip)
    expected = encode_with_all(prompt, encoders.loaded, settings, encoders.shape)
    with torch.no_grad():
        found = encoders.training(clip_skip).encode([prompt], {})
    assert torch.allclose(found.rows, expected.parts[0].encodings[0], atol=1e-5)
    assert found.pooled is not None
    assert expected.pooled is not None
    assert torch.allclose(found.pooled, expected.pooled, atol=1e-5)
    assert found.tail == 256


def test_the_shorter_prompts_of_a_batch_are_padded_before_t5(encoders: Encoders) -> None:
    prompts = ["cat " * 90, "a red cube"]
    training = encoders.training()
    with torch.no_grad():
        both = training.encode(prompts, {})
        long, short, empty = (training.encode([prompt], {}) for prompt in (*prompts, ""))
    assert both.rows.shape == (2, 2 * 77 + 256, 96)
    assert torch.allclose(both.rows[0], long.rows[0], atol=1e-5)
    padded = torch.cat([short.rows[0, :77], empty.rows[0, :77], short.rows[0, 77:]])
    assert torch.allclose(both.rows[1], padded, atol=1e-5)

    network, loss = torch.nn.Linear(1, 1), FlowLoss(torch.linspace(0.001, 1, 1000))
    order = DataOrder([0], 1, 0)
    prompts_of = Prompts("", ["[filewords]"])
    task = TrainingTask(
        lambda texts: training.encode(texts, {}), network, (), loss, [], prompts_of, order, fixed_text=True
    )
    kept = task.encode(prompts)
    assert torch.allclose(kept.rows, both.rows, atol=1e-5), "each prompt is encoded once and then padded"
    assert kept.tail == both.tail


@pytest.mark.parametrize("prompt", ["a cat", "", "a (red:1.4) cube [on] table", "cat, " * 600])
def test_flux_reads_only_t5_and_the_pooled_vector_of_clip(tmp_path: Path, prompt: str) -> None:
    encoders = _encoders("flux", tmp_path / "small", optional=True)
    expected = encode_with_all(prompt, encoders.loaded, Settings(), encoders.shape)
    with torch.no_grad():
        found = encoders.training().encode([prompt, "a cat"], {})
    assert found.rows.shape == (2, 512, 96)
    assert torch.allclose(found.rows[:1], expected.parts[0].encodings[0], atol=1e-5)
    assert found.pooled is not None
    assert expected.pooled is not None
    assert torch.allclose(found.pooled[:1], expected.pooled, atol=1e-5)
    assert found.tail == 512


def test_the_first_prompt_that_t5_does_not_read_to_its_end_is_warned_about(encoders: Encoders) -> None:
    told: list[str] = []
    training = PromptEncoders(encoders.loaded, NoTriggers(), None, shape=encoders.shape, warn=told.append)
    for prompt in ("a cat", "cat, " * 200, "red, " * 200):
        training.check(prompt)
    has_t5 = any(one.role.name == "t5" for one in encoders.loaded)
    assert ["cat, cat" in message for message in told] == [True] * has_t5
