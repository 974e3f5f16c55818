"""TrainModel: what it trains, saves and refuses, and ExtractLoRA, which makes a LoRA of its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as pillow
from safetensors.torch import load_file

from engine.document.graph import Entry, From, Literal
from engine.session import Session
from engine.step_requests import Requests
from engine.testing import run_node
from nodes.model.extract_lora import ExtractLoRA
from nodes.model.load import LoadModel
from nodes.model.lora import ApplyLoRA
from nodes.model.save_model import SaveModel
from nodes.sd.lora.lora_value import LoRA
from nodes.values import Model, TextEncoder, Vae
from tests.nodes.conftest import output
from tests.nodes.training.test_train_ti import Watcher
from tests.nodes.trainings import draw_squares, problem_of, training

FAST: dict[str, Any] = {"rate": "1e-4"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_squares(tmp_path_factory.mktemp("squares"))


def trained(session: Session, work: Any, watcher: Watcher | None = None) -> Model:
    found = output(session.run(work, emit=watcher or Watcher()), "model")
    assert isinstance(found, Model)
    return found


def weights(session: Session, model: Model) -> dict[str, torch.Tensor]:
    return dict(model.exact(session.files).named_parameters())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Model:
    """The embedded model after one step."""
    from engine.testing import open_session

    with open_session(tmp_path_factory.mktemp("made")) as session:
        return trained(session, training("TrainModel@1", pictures, ["model"], steps=1, **FAST))


def test_every_weight_is_trained_and_saved(session: Session, home: Path, made: Model) -> None:
    parts: dict[str, Any] = dict(run_node(session, LoadModel()))
    before, after = weights(session, parts["model"]), weights(session, made)
    unchanged = [name for name in before if torch.equal(before[name], after[name])]
    assert unchanged == []
    target = str(home / "models" / "checkpoints" / "tuned")
    encoder, vae = parts["encoder"], parts["vae"]
    assert isinstance(encoder, TextEncoder)
    assert isinstance(vae, Vae)
    saved = run_node(session, SaveModel(model=made, encoder=encoder, vae=vae, precision="float32"))["out"]
    written = load_file(Path(str(saved)) / "unet" / "diffusion_pytorch_model.safetensors")
    assert all(torch.equal(written[name], after[name]) for name in after), target


def test_an_extracted_lora_is_the_one_that_was_applied(session: Session, pictures: Path) -> None:
    patterns = "up_blocks.3.attentions.2.*.to_?, up_blocks.3.resnets.2.conv1"
    work = training("TrainLoRA@1", pictures, ["lora"], steps=1, rank=2, rate="0.01", patterns=patterns)
    lora = output(session.run(work), "lora")
    parts: dict[str, Any] = dict(run_node(session, LoadModel()))
    base, encoder = parts["model"], parts["encoder"]

    def applied(lora: LoRA) -> Model:
        model = run_node(session, ApplyLoRA(model=base, encoder=encoder, trained=lora, weight=1.0))["model"]
        assert isinstance(model, Model)
        return model

    found = run_node(session, ExtractLoRA(tuned=applied(lora), base=base, rank=2))
    extracted, report = found["lora"], found["report"]
    assert isinstance(extracted, LoRA)
    assert isinstance(report, dict)
    assert (report["layers"], report["kept"]) == (7, pytest.approx(1.0))
    wanted, before = weights(session, applied(lora)), weights(session, base)
    for name, tensor in weights(session, applied(extracted)).items():
        change = wanted[name] - before[name]
        assert torch.allclose(tensor - before[name], change, atol=1e-3 * float(change.abs().max()) + 1e-7), (
            name
        )
    half = run_node(session, ExtractLoRA(tuned=applied(lora), base=base, rank=1))["report"]
    assert isinstance(half, dict)
    assert 0.3 < half["kept"] < 1


@pytest.mark.slow
def test_what_is_extracted_of_a_trained_model_is_nearly_all_of_it(session: Session, made: Model) -> None:
    base = run_node(session, LoadModel())["model"]
    assert isinstance(base, Model)
    report = run_node(session, ExtractLoRA(tuned=made, base=base, rank=1024))["report"]
    assert isinstance(report, dict)
    assert 0.9 < report["kept"] < 1  # biases and norms are left out


@pytest.mark.slow
def test_stopped_and_run_again_it_gives_the_same_bits(
    open_session: Callable[..., Session], pictures: Path, tmp_path: Path
) -> None:
    work = training("TrainModel@1", pictures, ["model"], steps=3, checkpoint_every=1, average=0.9, **FAST)
    whole = trained(open_session(tmp_path / "whole"), work)
    session, requests = open_session(), Requests()
    first = Watcher(lambda step: requests.ask("train", "stop") if step == 1 else None)
    assert session.run(work, emit=first, requests=requests).state == "cancelled"
    second = Watcher()
    assert trained(open_session(), work, second).pack() == whole.pack()
    assert first.steps + second.steps == [1, 2, 3]


def test_a_trigger_takes_the_place_of_captions(session: Session, tmp_path: Path) -> None:
    for number in range(2):
        pillow.new("RGB", (32, 32), "red").save(tmp_path / f"{number}.png")
    assert problem_of(session.run(training("TrainModel@1", tmp_path, ["model"], steps=0))) == (
        "dataset",
        "missing_captions",
    )
    work = training("TrainModel@1", tmp_path, ["model"], steps=0, trigger="a photo of zzz")
    model = trained(session, work)
    assert model.patches == ()  # without steps, nothing has changed


def test_a_rate_beyond_measure_is_refused(session: Session, pictures: Path) -> None:
    work = training("TrainModel@1", pictures, ["model"], steps=3, rate="1e9")
    assert problem_of(session.run(work)) == ("rate", "diverged")


def test_a_model_with_a_hypernetwork_is_refused(session: Session, pictures: Path, home: Path) -> None:
    from tests.nodes.model.test_hypernetwork import saved

    saved(home / "models" / "hypernetworks" / "x.pt")
    for node in ("TrainModel@1", "TrainLoRA@1"):
        work = training(node, pictures, ["report"], steps=0)
        work.nodes["hyper"] = Entry(
            "ApplyHypernetwork@1", {"model": From("model", "model"), "hypernetwork": Literal("x")}
        )
        work.nodes["train"].inputs["model"] = From("hyper", "out")
        assert problem_of(session.run(work)) == ("model", "has_hypernetwork")


def test_models_that_cannot_be_compared_are_refused(session: Session, made: Model) -> None:
    from engine.errors import NodeError

    base = run_node(session, LoadModel())["model"]
    assert isinstance(base, Model)
    other = replace(base, checkpoint=replace(base.checkpoint, family="sd2"))
    for tuned, expected in ((base, ("tuned", "no_difference")), (other, ("tuned", "wrong_family"))):
        with pytest.raises(NodeError) as caught:
            run_node(session, ExtractLoRA(base=base, tuned=tuned))
        assert (caught.value.input, caught.value.code) == expected
