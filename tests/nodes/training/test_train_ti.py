"""TrainTI: what it learns, that it resumes to the same bits, and how it fails."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image as pillow
from safetensors.torch import load_file, save_file

from engine import settings
from engine.cancel import Cancel
from engine.document.graph import Entry, From, Graph, Literal
from engine.errors import NodeError
from engine.events import Checkpoint, Event, Metrics, Published, Sample
from engine.node import Node
from engine.queue.metric_table import merged
from engine.run.report import Report
from engine.session import Session
from engine.step_requests import Requests
from engine.testing import run_node
from nodes.dataset.load_dataset import LoadDataset
from nodes.model.embeddings import OpenEmbedding, SaveEmbedding
from nodes.model.load import LoadModel
from nodes.prompt.encode_prompt import EncodePrompt
from nodes.sd.embeddings.embedding import Embedding
from nodes.training.train_hypernetwork import TrainHypernetwork
from nodes.training.train_lora import TrainLoRA
from nodes.training.train_model import TrainModel
from nodes.training.train_pivotal import TrainPivotal
from nodes.training.train_ti import TrainTI
from nodes.values import Conditioning, Dataset
from tests.nodes.conftest import GRAPHS, output, ran, warnings
from tests.nodes.sd.conftest import TINY
from tests.nodes.sd.families.small import small_model

SMALL: dict[str, Any] = {"width": 32, "height": 32, "sample_every": 0, "batch": 2, "initial_text": "shape"}
"""Latents of 4 x 4, so that a step takes some hundredths of a second."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures of a red square on blue."""
    folder = tmp_path_factory.mktemp("squares")
    for number in range(4):
        pixels = np.full((32, 32, 3), (40, 75, 210), np.uint8)
        pixels[6 + number : 22 + number, 8:24] = (220, 40, 40)
        pillow.fromarray(pixels).save(folder / f"{number}-square.png")
    return folder


def graph(pictures: Path, **inputs: Any) -> Graph:
    """A graph that trains an embedding named `zzz`."""
    given = {"name": "zzz", **SMALL, **inputs}
    wired = {part: From("model", part) for part in ("model", "encoder", "vae")}
    return Graph(
        nodes={
            "model": Entry("LoadModel@1", {}),
            "data": Entry("LoadDataset@2", {"folder": Literal(str(pictures))}),
            "train": Entry(
                "TrainTI@1",
                {**wired, "dataset": From("data", "out"), **{k: Literal(v) for k, v in given.items()}},
            ),
        },
        outputs={name: From("train", name) for name in ("embedding", "curve", "report")},
    )


class Watcher:
    """Keeps the events of a run, and acts when a step is done."""

    def __init__(self, act: Callable[[int], None] = lambda step: None) -> None:
        self.events: list[Event] = []
        self._act = act

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Checkpoint):
            self._act(event.step)

    @property
    def rows(self) -> list[Mapping[str, float | None]]:
        return [row for event in self.events if isinstance(event, Metrics) for row in event.rows]

    @property
    def steps(self) -> list[int]:
        """The steps that were taken, without those that a resumed training reports again."""
        resumed = max((number for number, row in enumerate(self.rows) if "resumed" in row), default=-1)
        return [int(row["step"] or 0) for row in self.rows[resumed + 1 :] if "loss" in row]

    def published(self, suffix: str = "") -> dict[str, Path]:
        found = [event for event in self.events if isinstance(event, Published)]
        return {event.name: Path(event.path) for event in found if event.name.endswith(suffix)}


def trained(report: Report) -> Embedding:
    found = output(report, "embedding")
    assert isinstance(found, Embedding)
    return found


def same(a: Embedding, b: Embedding) -> bool:
    return a.pack() == b.pack()


def loaded(session: Session, pictures: Path) -> dict[str, Any]:
    dataset = run_node(session, LoadDataset(folder=str(pictures)))["out"]
    assert isinstance(dataset, Dataset)
    return {**run_node(session, LoadModel()), "dataset": dataset}


def taught(parts: dict[str, Any], embedding: Embedding) -> Any:
    encoder = parts["encoder"]
    return replace(encoder, embeddings=replace(encoder.embeddings, made=(embedding,)))


@pytest.mark.parametrize("vectors", [0, 3])
def test_without_steps_the_name_means_its_initial_text(
    session: Session, pictures: Path, vectors: int
) -> None:
    parts = loaded(session, pictures)
    node = TrainTI(
        **parts, name="zzzz1234", **{**SMALL, "initial_text": "large red tree"}, vectors=vectors, steps=0
    )
    embedding = run_node(session, node)["embedding"]
    assert isinstance(embedding, Embedding)

    def encoded(encoder: Any, prompt: str) -> torch.Tensor:
        found = run_node(session, EncodePrompt(encoder=encoder, prompt=prompt))["out"]
        assert isinstance(found, Conditioning)
        return found.embeddings

    named = encoded(taught(parts, embedding), "a zzzz1234 by monet")
    assert torch.allclose(named, encoded(parts["encoder"], "a large red tree by monet"), atol=1e-6)
    assert not torch.allclose(named, encoded(parts["encoder"], "a zzzz1234 by monet"), atol=1e-2)


def test_training_lowers_the_loss_of_what_is_held_out(session: Session, pictures: Path) -> None:
    parts = loaded(session, pictures)
    dataset = parts["dataset"]
    parts["dataset"] = replace(dataset, pictures=dataset.pictures[:3])
    held_out = replace(dataset, pictures=dataset.pictures[3:])
    watcher = Watcher()
    node = TrainTI(
        **parts, name="zzz", **SMALL, validation=held_out, validate_every=6, steps=12, rate="0.05", vectors=2
    )
    outputs = run_node(session, node, emit=watcher)
    losses = [row["validation_loss"] for row in watcher.rows if "validation_loss" in row]
    assert [row["step"] for row in watcher.rows if "validation_loss" in row] == [0, 6, 12]
    assert losses[-1] is not None
    assert losses[0] is not None
    assert losses[-1] < 0.9 * losses[0]
    report = outputs["report"]
    assert isinstance(report, dict)
    assert report["validation_loss"] == losses[-1]
    assert report["steps"] == 12
    assert watcher.steps == list(range(1, 13))


def test_stopped_and_run_again_it_gives_the_same_bits(
    open_session: Callable[..., Session], pictures: Path, tmp_path: Path
) -> None:
    work = graph(pictures, steps=7, average=0.9, latent_sampling="random", checkpoint_every=1)
    at_once = Watcher()
    whole = trained(open_session(tmp_path / "whole").run(work, emit=at_once))
    session, requests = open_session(), Requests()
    first = Watcher(lambda step: requests.ask("train", "stop") if step == 3 else None)
    stopped = session.run(work, emit=first, requests=requests)
    assert (stopped.state, stopped.nodes["train"].state) == ("cancelled", "cancelled")
    assert "embedding" not in stopped.outputs
    cancel = Cancel()
    second = Watcher(lambda step: cancel.ask() if step == 5 else None)
    assert open_session().run(work, emit=second, cancel=cancel).state == "cancelled"
    third = Watcher()
    resumed = trained(open_session().run(work, emit=third))
    assert same(resumed, whole)
    assert first.steps + second.steps + third.steps == list(range(1, 8))
    curve = merged(third.rows)
    assert [row["step"] for row in curve if row.pop("resumed", None)] == [second.steps[-1]]
    assert curve == merged(at_once.rows), "the history of a resumed training is whole"
    assert ran(open_session().run(work)) == set()


def test_more_steps_continue_a_finished_training(
    open_session: Callable[..., Session], pictures: Path, tmp_path: Path
) -> None:
    whole = trained(open_session(tmp_path / "whole").run(graph(pictures, steps=6)))
    session, watcher = open_session(), Watcher()
    session.run(graph(pictures, steps=4))
    longer = trained(session.run(graph(pictures, steps=6), emit=watcher))
    assert watcher.steps == [5, 6]
    assert same(longer, whole)
    other = Watcher()
    session.run(graph(pictures, steps=6, seed=1), emit=other)
    assert other.steps == [1, 2, 3, 4, 5, 6]


def test_with_a_decay_more_steps_begin_anew(session: Session, pictures: Path) -> None:
    for steps in (2, 4):
        watcher = Watcher()
        work = graph(pictures, steps=steps, rate="0.004", rate_warmup=1, rate_decay="linear")
        notes = dict(trained(session.run(work, emit=watcher)).notes or {})
        assert (notes["safelight.rate_warmup"], notes["safelight.rate_decay"]) == ("1", "linear")
        assert watcher.steps == list(range(1, steps + 1))
        rates = [row["rate"] for row in watcher.rows if "loss" in row]
        wanted = {2: [0, 0.004], 4: [0, 0.004, 0.004 * 2 / 3, 0.004 / 3]}
        assert rates == pytest.approx(wanted[steps])


def test_samples_and_copies_do_not_change_the_result(
    open_session: Callable[..., Session], pictures: Path, tmp_path: Path
) -> None:
    whole = trained(open_session(tmp_path / "whole").run(graph(pictures, steps=4)))
    watcher = Watcher()
    work = graph(
        pictures, steps=4, sample_every=2, sample_steps=2, sample_prompts="zzz\na zzz on red", copy_every=2
    )
    report = open_session().run(work, emit=watcher)
    assert same(trained(report), whole)
    samples = [(event.step, event.caption) for event in watcher.events if isinstance(event, Sample)]
    assert samples == [(2, "zzz"), (2, "a zzz on red"), (4, "zzz"), (4, "a zzz on red")]
    assert list(watcher.published(".safetensors")) == [
        "embeddings/zzz-000002.safetensors",
        "embeddings/zzz-000004.safetensors",
    ]
    rows = watcher.published("losses.csv")["losses.csv"].read_text().splitlines()
    assert rows[0] == "step,epoch,epoch_step,loss,learn_rate"
    assert [row.rsplit(",", 2)[0] for row in rows[1:]] == ["1,0,1", "2,0,2", "3,1,1", "4,1,2"]
    lines = watcher.published("losses.jsonl")["losses.jsonl"].read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]


def test_a_rate_beyond_measure_fails_and_keeps_the_last_good_vectors(
    session: Session, pictures: Path
) -> None:
    watcher = Watcher()
    report = session.run(graph(pictures, steps=9, rate="0.001:3, 1e9"), emit=watcher)
    problem = report.nodes["train"].problem
    assert (report.state, report.nodes["train"].state) == ("failed", "failed")
    assert problem is not None
    assert (problem.code, problem.input) == ("diverged", "rate")
    assert "step 4" in problem.message
    assert list(watcher.published(".safetensors")) == ["embeddings/zzz-000003.safetensors"]
    rows = watcher.published("losses.csv")["losses.csv"].read_text().splitlines()
    assert len(rows) == 1 + 4
    assert ran(session.run(graph(pictures, steps=9, rate="0.001:3, 1e9"))) == set()


def test_a_loss_that_is_nan_fails_in_its_step(
    session: Session, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nodes.sd.fine_tuning.task import TrainingTask

    whole = TrainingTask.loss

    def broken(self: TrainingTask, draws: Any, place: Any) -> torch.Tensor:
        return whole(self, draws, place) * (1 if place.number < 2 else float("nan"))

    watcher = Watcher()
    with monkeypatch.context() as patched:
        patched.setattr(TrainingTask, "loss", broken)
        report = session.run(graph(pictures, steps=4), emit=watcher)
    problem = report.nodes["train"].problem
    assert problem is not None
    assert problem.code == "not_finite"
    assert "step 3" in problem.message
    assert "embeddings/zzz-000002.safetensors" in watcher.published()
    again = Watcher()
    healed = trained(session.run(graph(pictures, steps=4), emit=again))
    assert again.steps == [3, 4]
    assert same(healed, trained(session.run(graph(pictures, steps=4, sample_seed=1))))


@pytest.mark.parametrize(
    ("inputs", "input", "code"),
    [
        ({"rate": "fast"}, "rate", "node_failed"),
        ({"template_text": "a photo"}, "template_text", "node_failed"),
        ({"name": "()"}, "name", "bad_name"),
        ({"name": "../../x"}, "name", "bad_name"),
        ({"name": "a b:c"}, "name", "bad_name"),
        ({"name": ""}, "name", "bad_name"),
        ({"template_text": "x[name]y"}, "name", "unreadable_name"),
        ({"template_text": "[name] [a|b]"}, "template_text", "changing_prompt"),
        ({"name": "salt AND pepper"}, "name", "bad_name"),
        ({"sample_prompts": "a zzz AND a cat"}, "sample_prompts", "changing_prompt"),
        ({"first_timestep": 900, "last_timestep": 100}, "first_timestep", "node_failed"),
        ({"resize": "none", "width": 0}, "resize", "bad_size"),
    ],
)
def test_invalid_trainings_are_refused(
    session: Session, pictures: Path, tmp_path: Path, inputs: dict[str, Any], input: str | None, code: str
) -> None:
    if inputs.get("resize") == "none":
        pillow.new("RGB", (33, 32)).save(tmp_path / "odd.png")
        pictures = tmp_path
    report = session.run(graph(pictures, steps=1, **inputs))
    problem = report.nodes["train"].problem
    assert problem is not None
    assert (problem.input, problem.code) == (input, code)


def test_a_caption_that_changes_is_named_before_the_training(session: Session, tmp_path: Path) -> None:
    for number in range(3):
        pillow.new("RGB", (32, 32), (number, 0, 0)).save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.txt").write_text("salt AND pepper at 10:30", encoding="utf-8")
    watcher = Watcher()
    work = graph(tmp_path, steps=1, template="subject_filewords", batch=8, keep="best", patience=1)
    assert session.run(work, emit=watcher).state == "done", "AND and the number are words, as in A1111"
    told = warnings(watcher.events)
    assert len([text for text in told if "no effect without `validation`" in text]) == 2
    assert any("batch size is reduced to 3" in text for text in told)
    assert dict(trained(session.run(work)).notes or {})["safelight.batch"] == "3 x 1"
    (tmp_path / "2.txt").write_text("a [red:blue:0.5] cup", encoding="utf-8")
    watcher = Watcher()
    problem = session.run(work, emit=watcher).nodes["train"].problem
    assert problem is not None
    assert (problem.code, problem.input) == ("changing_prompt", "dataset")
    assert "2.png" in problem.message
    assert watcher.steps == []
    plain = graph(tmp_path, steps=1, template="subject_filewords", dialect="plain")
    assert session.run(plain).state == "done"


def test_pictures_smaller_than_a_cell_of_the_latent_are_warned_about_once(
    session: Session, tmp_path: Path
) -> None:
    for name, size in (("a-fits.png", (8, 8)), ("b-dot.png", (1, 1)), ("c-thin.png", (32, 7))):
        pillow.new("RGB", size, (200, 0, 0)).save(tmp_path / name)
    watcher = Watcher()
    assert session.run(graph(tmp_path, steps=1), emit=watcher).state == "done"
    (told,) = [text for text in warnings(watcher.events) if "cell of the latent" in text]
    assert "b-dot.png is 1 x 1" in told
    assert "1 more" in told


def test_one_picture_is_trained_on_with_a_warning(session: Session, tmp_path: Path) -> None:
    pillow.new("RGB", (32, 32), "red").save(tmp_path / "one.png")
    watcher = Watcher()
    assert session.run(graph(tmp_path, steps=1), emit=watcher).state == "done"
    assert any("one picture" in text for text in warnings(watcher.events))


def test_the_metadata_tells_how_it_was_trained(session: Session, pictures: Path) -> None:
    work = graph(pictures, steps=2, rate="1e-3", vectors=2, license="CC0", source="own")
    mirror: dict[str, Any] = {
        "dataset": From("data", "out"),
        "fit": Literal("keep"),
        "mirrored": Literal(True),
    }
    work.nodes["mirror"] = Entry("Preprocess@1", mirror)
    work.nodes["train"].inputs["dataset"] = From("mirror", "out")
    embedding = trained(session.run(work))
    assert (embedding.name, embedding.step, embedding.base_name) == ("zzz", 2, "safelight-tiny")
    notes = dict(embedding.notes or {})
    assert notes["safelight.base_digest"].startswith(embedding.base_hash or "-")
    told = [
        notes[f"safelight.{key}"]
        for key in ("files", "pictures", "vectors", "initial_text", "rate", "license", "source")
    ]
    assert told == ["4", "8", "2", "shape", "1e-3", "CC0", "own"]
    assert {"safelight.made_with.torch", "safelight.made_with.diffusers"} <= notes.keys()


@pytest.mark.parametrize(("family", "encoders"), [("sd2", ["clip_h"]), ("sdxl", ["clip_l", "clip_g"])])
def test_each_text_encoder_of_a_family_gets_vectors_that_learn(
    session: Session, home: Path, pictures: Path, family: str, encoders: list[str]
) -> None:
    place = home / "models" / "checkpoints" / "small.safetensors"
    place.parent.mkdir(parents=True)
    small_model(family).save_file(place)

    def vectors(steps: int) -> Mapping[str, torch.Tensor]:
        work = graph(pictures, steps=steps, initial_text="cat", sample_every=1, sample_steps=1)
        work.nodes["model"].inputs["model"] = Literal("small.safetensors")
        return trained(session.run(work, emit=watcher)).vectors

    watcher = Watcher()
    before, after = vectors(0), vectors(1)
    assert list(before) == list(after) == encoders
    assert all(not torch.equal(before[name], after[name]) for name in encoders)
    assert len([event for event in watcher.events if isinstance(event, Sample)]) == 1


@pytest.mark.parametrize("node", [TrainTI, TrainLoRA, TrainPivotal, TrainModel, TrainHypernetwork])
def test_every_setting_of_a_training_has_a_help_text(node: type[Node]) -> None:
    described = node.node_type
    assert [name for name in described.inputs if not described.input_docs.get(name)] == []


def test_an_inpainting_model_is_refused(session: Session, home: Path, pictures: Path) -> None:
    place = home / "models" / "checkpoints" / "small.safetensors"
    place.parent.mkdir(parents=True)
    small_model("sd1", in_channels=9).save_file(place)
    work = graph(pictures, steps=1)
    work.nodes["model"].inputs["model"] = Literal("small.safetensors")
    problem = session.run(work).nodes["train"].problem
    assert problem is not None
    assert (problem.code, problem.input) == ("inpainting_model", "model")


@pytest.mark.parametrize("keep", ["vocabulary", "initial"])
def test_vectors_may_keep_their_length(session: Session, pictures: Path, keep: str) -> None:
    def lengths(**inputs: Any) -> torch.Tensor:
        made = trained(session.run(graph(pictures, initial_text="red cat", vectors=2, rate="0.05", **inputs)))
        found: torch.Tensor = made.vectors["clip_l"].norm(dim=1)
        return found

    initial, free, kept = lengths(steps=0), lengths(steps=2), lengths(steps=2, keep_length=keep)
    assert not torch.allclose(free, initial, rtol=1e-3)
    if keep == "initial":
        assert torch.allclose(kept, initial, rtol=1e-5)
    else:
        rows = load_file(TINY / "text_encoder" / "model.safetensors")
        (table,) = (tensor for name, tensor in rows.items() if name.endswith("token_embedding.weight"))
        assert torch.allclose(kept, table.float().norm(dim=1).median().expand(2), rtol=1e-4)


def test_an_optimizer_that_is_not_installed_is_named(session: Session, pictures: Path) -> None:
    with mock.patch.dict(sys.modules, {"prodigyopt": None}):
        problem = session.run(graph(pictures, steps=1, optimizer="prodigy")).nodes["train"].problem
    assert problem is not None
    assert (problem.code, problem.input, problem.hint) == (
        "not_installed",
        "optimizer",
        "pip install prodigyopt",
    )


@pytest.mark.parametrize("format", ["a1111", "kohya", "diffusers"])
def test_an_embedding_of_another_program_is_continued(
    session: Session, pictures: Path, tmp_path: Path, format: str
) -> None:
    vectors = torch.randn(2, 64, generator=torch.Generator().manual_seed(1)) * 0.02
    path = tmp_path / ("mug.safetensors" if format == "kohya" else "mug.pt")
    if format == "kohya":
        save_file({"emb_params": vectors}, path)
    else:
        whole = {"string_to_token": {"*": 265}, "string_to_param": {"*": vectors}, "name": "mug", "step": 4}
        torch.save(whole if format == "a1111" else {"mug": vectors}, path)

    def continued(steps: int) -> tuple[Embedding, Watcher]:
        work, watcher = graph(pictures, steps=steps), Watcher()
        work.nodes["open"] = Entry("OpenEmbedding@1", {"file": Literal(str(path))})
        work.nodes["train"].inputs["embedding"] = From("open", "out")
        return trained(session.run(work, emit=watcher)), watcher

    had = 4 if format == "a1111" else 0
    before, _ = continued(had)
    assert torch.equal(before.vectors["clip_l"], vectors)
    after, watcher = continued(6)
    assert after.step == 6
    assert watcher.steps == list(range(1, 7 - had))
    assert not torch.equal(after.vectors["clip_l"], vectors)


def written_by_a1111(path: Path, vectors: torch.Tensor, step: int) -> torch.optim.AdamW:
    """Write an embedding and its `.optim` as A1111 does; returns the optimizer."""
    weight = torch.nn.Parameter(vectors.clone())
    optimizer = torch.optim.AdamW([weight], lr=0.005, weight_decay=0.0)
    weight.grad = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(2))
    for _ in range(step):
        optimizer.step()
    made = weight.detach()
    whole = {"string_to_token": {"*": 265}, "string_to_param": {"*": made}, "name": "mug", "step": step}
    torch.save(whole, path)
    checksum = 0
    for number in made.reshape(-1) * 100:
        checksum = (checksum * 281 ^ int(number) * 997) & 0xFFFFFFFF
    state = {"hash": f"{checksum & 0xFFFF:04x}", "optimizer_state_dict": optimizer.state_dict()}
    torch.save(state, f"{path}.optim")
    return optimizer


def test_an_optim_file_of_a1111_is_continued_and_written(
    session: Session, pictures: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mug.pt"
    before = written_by_a1111(path, torch.full((2, 64), 0.02), 4).state_dict()["state"][0]
    work = graph(pictures, steps=5, rate="0.01", clip="off", copy_every=0)
    work.nodes["open"] = Entry("OpenEmbedding@1", {"file": Literal(str(path))})
    work.nodes["train"].inputs["embedding"] = From("open", "out")
    save: dict[str, Any] = {
        "embedding": From("train", "embedding"),
        "format": Literal("pt"),
        "optimizer": Literal(True),
    }
    work.nodes["save"] = Entry("SaveEmbedding@1", save)
    work.outputs["file"] = From("save", "out")
    report = session.run(work)
    saved = Path(str(report.outputs["file"].meta))
    written = torch.load(f"{saved}.optim", weights_only=True)
    after = written["optimizer_state_dict"]["state"][0]
    assert (float(before["step"]), float(after["step"])) == (4, 5)
    gradient = (after["exp_avg"] - 0.9 * before["exp_avg"]) / 0.1
    square = 0.999 * before["exp_avg_sq"] + 0.001 * gradient.square()
    assert torch.allclose(after["exp_avg_sq"], square, rtol=1e-3)
    old = torch.load(path, weights_only=True)["string_to_param"]["*"]
    step = after["exp_avg"] / (1 - 0.9**5) / ((square / (1 - 0.999**5)).sqrt() + 1e-8)
    new = torch.load(saved, weights_only=True)["string_to_param"]["*"]
    assert torch.allclose(new, old - 0.01 * step, atol=1e-6)
    again = run_node(session, OpenEmbedding(file=str(saved)))["out"]
    assert isinstance(again, Embedding)
    assert again.optimizer is not None
    assert torch.equal(again.optimizer["clip_l"].mean, after["exp_avg"])


def test_an_optim_file_of_other_vectors_or_a_damaged_one_is_not_used(
    session: Session, tmp_path: Path
) -> None:
    path = tmp_path / "mug.pt"
    written_by_a1111(path, torch.full((1, 64), 0.02), 1)
    whole = torch.load(path, weights_only=True)
    torch.save({**whole, "string_to_param": {"*": torch.ones(1, 64)}}, path)
    watcher = Watcher()
    for _ in range(2):
        embedding = run_node(session, OpenEmbedding(file=str(path)), emit=watcher)["out"]
        assert isinstance(embedding, Embedding)
        assert embedding.optimizer is None
        Path(f"{path}.optim").write_bytes(b"PK\3\4 damaged")
    assert len(warnings(watcher.events)) == 2


def test_an_embedding_without_a_state_cannot_be_saved_with_one(session: Session) -> None:
    node = SaveEmbedding(
        embedding=Embedding("mug", {"clip_l": torch.ones(1, 8)}), format="pt", optimizer=True
    )
    with pytest.raises(NodeError) as raised:
        run_node(session, node)
    assert (raised.value.code, raised.value.input) == ("no_optimizer_state", "optimizer")


def test_a_copy_is_also_a_picture_that_carries_the_embedding(session: Session, pictures: Path) -> None:
    watcher = Watcher()
    inputs = {"width": 64, "height": 64, "sample_every": 1, "sample_steps": 1, "copy_every": 1}
    made = trained(session.run(graph(pictures, steps=1, **inputs), emit=watcher))
    path = watcher.published()["image_embeddings/zzz-000001.png"]
    carried = run_node(session, OpenEmbedding(file=str(path)))["out"]
    assert isinstance(carried, Embedding)
    assert (carried.name, carried.step) == ("zzz", 1)
    assert torch.equal(carried.vectors["clip_l"], made.vectors["clip_l"])


def test_the_report_has_the_loss_of_the_test_pictures_and_the_gap(session: Session, pictures: Path) -> None:
    parts = loaded(session, pictures)
    dataset = parts["dataset"]
    held_out = replace(dataset, pictures=dataset.pictures[3:])
    node = TrainTI(**parts, name="zzz", **SMALL, validation=dataset, test=held_out, steps=1, vectors=4)
    watcher = Watcher()
    report = run_node(session, node, emit=watcher)["report"]
    assert isinstance(report, dict)
    assert report["gap"] == 0  # the validation has the pictures of the training
    assert report["test_loss"] > 0
    assert report["test_loss"] != report["validation_loss"]
    again = TrainTI(**parts, name="zzz", **SMALL, validation=held_out, test=held_out, steps=1, vectors=4)
    other = run_node(session, again)["report"]
    assert isinstance(other, dict)
    assert other["validation_loss"] == other["test_loss"] == report["test_loss"]
    assert other["gap"] == other["validation_loss"] - report["validation_loss"]
    assert any("4 vectors are many for 4 pictures" in text for text in warnings(watcher.events))


def test_networks_may_compute_in_bfloat16_and_the_vae_leaves_the_device(
    session: Session, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.context import Context

    done: list[object] = []
    release = Context.release

    def noted(self: Context, recipe: Any) -> None:
        done.append(type(recipe).__name__)
        release(self, recipe)

    monkeypatch.setattr(Context, "release", noted)
    exact = trained(session.run(graph(pictures, steps=1)))
    watcher = Watcher()

    def emit(event: Event) -> None:
        watcher(event)
        done.extend(["step"] if isinstance(event, Metrics) else [])

    inputs = {"sample_every": 1, "sample_steps": 1, "resize": "stretch"}
    rough = trained(session.run(graph(pictures, steps=1, precision="bfloat16", **inputs), emit=emit))
    before = done.index("step")
    assert done[: before + 1].count("Vae") >= 2, "it leaves after the pictures of each training"
    assert done.count("Vae") == 3, "and after the sample"
    (sample,) = (event for event in watcher.events if isinstance(event, Sample))
    assert sample.caption == "a photo of zzz"  # the first prompt of the training
    assert rough.vectors["clip_l"].dtype == torch.float32
    assert torch.isfinite(rough.vectors["clip_l"]).all()
    assert not torch.equal(rough.vectors["clip_l"], exact.vectors["clip_l"])
    assert torch.allclose(rough.vectors["clip_l"], exact.vectors["clip_l"], atol=0.011)


def test_float32_gives_the_same_bits_whatever_the_settings_say(
    session: Session, home: Path, pictures: Path
) -> None:
    lora = Literal(str(GRAPHS / "loras" / "red-to-blue.safetensors"))

    def vectors(session: Session, precision: str) -> torch.Tensor:
        work = graph(pictures, steps=1, precision=precision)
        inputs: dict[str, Any] = {part: From("model", part) for part in ("model", "encoder")}
        work.nodes["lora"] = Entry("ApplyLoRA@1", {**inputs, "lora": lora})
        work.nodes["train"].inputs |= {part: From("lora", part) for part in ("model", "encoder")}
        return trained(session.run(work)).vectors["clip_l"]

    exact = vectors(session, "auto")
    with Session(settings.load(home, device="cpu", dtype="bfloat16", checked=True)) as half:
        assert torch.equal(vectors(half, "float32"), exact)
        assert not torch.equal(vectors(half, "auto"), exact)


def test_pictures_of_several_sizes_are_trained_on_in_batches_of_one_size(
    session: Session, tmp_path: Path
) -> None:
    for number, size in enumerate([(32, 32), (48, 32), (32, 32), (48, 32)]):
        pixels = np.full((size[1], size[0], 4), 255, np.uint8)
        pixels[:, : size[0] // 2, 3] = 0 if number < 3 else 255
        pillow.fromarray(pixels).save(tmp_path / f"{number}.png")
    for resize in ("none", "crop", "stretch"):
        watcher = Watcher()
        work = graph(tmp_path, steps=2, resize=resize, loss_mask=True)
        assert session.run(work, emit=watcher).state == "done"
        assert watcher.steps == [1, 2]
    pixels[..., 3] = 0
    pillow.fromarray(pixels).save(tmp_path / "0.png")
    problem = session.run(graph(tmp_path, steps=1, loss_mask=True)).nodes["train"].problem
    assert problem is not None
    assert (problem.code, problem.input) == ("empty_mask", "dataset")
    assert "0.png" in problem.message


def test_a_picture_that_changes_during_the_training_does_not_change_the_result(
    open_session: Callable[..., Session], pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "changing"
    shutil.copytree(pictures, folder)
    whole = trained(open_session(tmp_path / "whole").run(graph(folder, steps=2)))
    work = graph(folder, steps=2, checkpoint_every=1)
    first = folder / "0-square.png"
    watcher = Watcher(lambda step: pillow.new("RGB", (32, 32), "green").save(first) if step == 1 else None)
    session = open_session()
    assert same(trained(session.run(work, emit=watcher)), whole)
    again = Watcher()
    assert not same(trained(session.run(work, emit=again)), whole)
    assert again.steps == [1, 2], "the changed picture is another dataset"
    parts = loaded(session, folder)
    first.write_bytes(b"")
    with pytest.raises(NodeError) as caught:
        run_node(session, TrainTI(**parts, name="zzz", **SMALL))
    assert (caught.value.code, caught.value.input) == ("changed_file", "dataset")
