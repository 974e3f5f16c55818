"""TrainPivotal: a LoRA and an embedding that are trained together, and DrawClassPictures beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.document.graph import Entry, From, Graph, Literal
from engine.session import Session
from engine.step_requests import Requests
from nodes.sd.embeddings.embedding import Embedding
from nodes.sd.lora.lora_value import LoRA
from tests.nodes.conftest import output
from tests.nodes.sd.conftest import TINY
from tests.nodes.training.test_train_ti import Watcher
from tests.nodes.trainings import draw_squares, problem_of, training

OWN: dict[str, Any] = {
    "name": "zzz",
    "initial_text": "red square",
    "vectors": 2,
    "embedding_rate": "0.01",
    "rank": 2,
    "alpha": 2.0,
    "rate": "0.01",
    "patterns": "up_blocks.3.attentions.2.*.to_?, encoder.layers.0.self_attn.*_proj",
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_squares(tmp_path_factory.mktemp("squares"))


def graph(pictures: Path, **inputs: Any) -> Graph:
    return training("TrainPivotal@1", pictures, ["lora", "embedding", "report"], **{**OWN, **inputs})


def trained(session: Session, work: Graph, watcher: Watcher | None = None) -> tuple[LoRA, Embedding]:
    report = session.run(work, emit=watcher or Watcher())
    return output(report, "lora"), output(report, "embedding")


def test_both_learn_at_their_own_rates_and_are_published(session: Session, pictures: Path) -> None:
    watcher = Watcher()
    lora, embedding = trained(session, graph(pictures, steps=2, text_rate="1e-3", copy_every=2), watcher)
    _, frozen = trained(session, graph(pictures, steps=1, embedding_rate="0"))
    table = load_file(TINY / "text_encoder" / "model.safetensors")
    (words,) = (rows for name, rows in table.items() if name.endswith("token_embedding.weight"))
    places = [int((words.float() == row).all(1).nonzero()[0]) for row in frozen.vectors["clip_l"]]
    assert len(set(places)) == 2, "at the rate 0, the vectors are those of two words"
    assert not torch.allclose(embedding.vectors["clip_l"], words[places].float(), atol=1e-3)
    ups = {name: one for name, one in lora.tensors.items() if name.endswith("lora_up.weight")}
    assert {name.partition(".")[0] for name in ups} == {"unet", "text_encoder"}
    assert all(one.any() for one in ups.values())
    assert lora.metadata["modelspec.trigger_phrase"] == "zzz"
    assert set(watcher.published(".safetensors")) == {
        "loras/zzz-000002.safetensors",
        "embeddings/zzz-000002.safetensors",
    }


@pytest.mark.slow
def test_stopped_and_run_again_it_gives_the_same_bits(
    open_session: Callable[..., Session], pictures: Path, tmp_path: Path
) -> None:
    work = graph(pictures, steps=2, checkpoint_every=1, dropout=0.3)
    whole = trained(open_session(tmp_path / "whole"), work)
    session, requests = open_session(), Requests()
    first = Watcher(lambda step: requests.ask("train", "stop") if step == 1 else None)
    assert session.run(work, emit=first, requests=requests).state == "cancelled"
    second = Watcher()
    again = trained(open_session(), work, second)
    assert [one.pack() for one in again] == [one.pack() for one in whole]
    assert first.steps + second.steps == [1, 2]


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"template_text": "a photo"}, "template_text", "node_failed"),
    ({"template_text": "x[name]y"}, "name", "unreadable_name"),
    ({"embedding_rate": "fast"}, "embedding_rate", "node_failed"),
    ({"embedding_rate": "1e9", "steps": 2}, "rate", "diverged"),
    ({"optimizer": "prodigy", "rate": "1"}, "embedding_rate", "one_rate"),
    ({"patterns": "nothing.*"}, "patterns", "no_targets"),
]


def test_invalid_trainings_are_refused(session: Session, pictures: Path) -> None:
    for inputs, input, code in REFUSED:
        report = session.run(graph(pictures, **{"steps": 1, **inputs}))
        assert problem_of(report) == (input, code), inputs


def with_class_pictures(pictures: Path, count: int, **inputs: Any) -> Graph:
    """A graph that trains a LoRA beside class pictures."""
    own = {key: OWN[key] for key in ("rank", "alpha", "rate", "patterns")}
    work = training("TrainLoRA@1", pictures, ["lora"], steps=1, **own, class_prompt="a square", **inputs)
    parts = {part: From("model", part) for part in ("model", "encoder", "vae")}
    settings: dict[str, Any] = {"prompt": "a square", "count": count, "width": 64, "height": 64, "steps": 1}
    work.nodes["class"] = Entry(
        "DrawClassPictures@1", {**parts, **{key: Literal(value) for key, value in settings.items()}}
    )
    work.nodes["train"].inputs["class_images"] = From("class", "out")
    return work


def test_class_pictures_are_drawn_once_and_change_the_training(session: Session, pictures: Path) -> None:
    first = session.run(with_class_pictures(pictures, 2, prior_weight=0.5))
    lora = output(first, "lora")
    assert isinstance(lora, LoRA)
    assert lora.metadata["ss_num_reg_images"] == "2"
    none = output(session.run(with_class_pictures(pictures, 2, prior_weight=0.0)), "lora")
    ups = [name for name in lora.tensors if name.endswith("lora_up.weight")]
    assert not all(torch.equal(none.tensors[name], lora.tensors[name]) for name in ups)
    more = session.run(with_class_pictures(pictures, 3, prior_weight=0.5))
    drawn = [node for node, fared in more.nodes.items() if fared.state == "done" and "denoise[" in node]
    assert drawn == ["class/denoise[2]"]


def test_class_pictures_without_a_prompt_are_refused(session: Session, pictures: Path) -> None:
    work = with_class_pictures(pictures, 1)
    work.nodes["train"].inputs["class_prompt"] = Literal(" ")
    assert problem_of(session.run(work)) == ("class_prompt", "missing_class_prompt")
