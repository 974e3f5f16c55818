"""Trainings on SD 3, which learned a flow: what they make, that they resume to the same bits, refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine.document.graph import From, Graph, Literal
from engine.events import Sample
from engine.session import Session
from engine.step_requests import Requests
from engine.testing import run_node
from nodes.model.embeddings import LoadEmbeddings, OpenEmbedding, SaveEmbedding
from nodes.model.extract_lora import ExtractLoRA
from nodes.model.load import LoadModel
from nodes.model.lora import ApplyLoRA
from nodes.model.save_lora import SaveLoRA
from nodes.prompt.encode_prompt import EncodePrompt
from nodes.sd.embeddings.embedding import Embedding
from nodes.sd.lora.lora_value import LoRA
from nodes.values import Conditioning, Model, TextEncoder
from tests.nodes.conftest import output, ran, warnings
from tests.nodes.sd.families.small import WIDTH, small_model
from tests.nodes.training.test_train_ti import Watcher
from tests.nodes.trainings import draw_squares, problem_of, training

LORA: dict[str, Any] = {"rank": 2, "alpha": 2.0, "rate": "0.01"}
WORD: dict[str, Any] = {"initial_text": "cat", "name": "zzz", "rate": "0.05"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_squares(tmp_path_factory.mktemp("squares"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small models in folders: SD 3 without T5 and with it, and SDXL."""
    place = tmp_path_factory.mktemp("models")
    small_model("sd3").save_folder(place / "clips")
    small_model("sd3", optional=True).save_folder(place / "all")
    small_model("sdxl").save_folder(place / "xl")
    return place


@pytest.fixture(autouse=True)
def installed(home: Path, models: Path) -> None:
    (home / "models").mkdir(parents=True)
    (home / "models" / "checkpoints").symlink_to(models)


def graph(node: str, pictures: Path, outputs: list[str], model: str = "clips", **inputs: Any) -> Graph:
    """A graph that trains on a small SD 3."""
    made = training(f"{node}@1", pictures, outputs, **inputs)
    made.nodes["model"].inputs["model"] = Literal(model)
    return made


def embedding_of(session: Session, work: Graph, watcher: Watcher | None = None) -> Embedding:
    found = output(session.run(work, emit=watcher or Watcher()), "embedding")
    assert isinstance(found, Embedding)
    return found


def lora_of(session: Session, work: Graph, watcher: Watcher | None = None) -> LoRA:
    found = output(session.run(work, emit=watcher or Watcher()), "lora")
    assert isinstance(found, LoRA)
    return found


def encoded(session: Session, encoder: TextEncoder, prompt: str) -> Conditioning:
    found = run_node(session, EncodePrompt(encoder=encoder, prompt=prompt))["out"]
    assert isinstance(found, Conditioning)
    return found


@pytest.mark.parametrize(
    ("model", "encoders"), [("clips", ["clip_l", "clip_g"]), ("all", ["clip_l", "clip_g", "t5"])]
)
def test_each_text_encoder_gets_vectors_that_act_by_their_trigger(
    session: Session, home: Path, pictures: Path, model: str, encoders: list[str]
) -> None:
    watcher = Watcher()
    more = {**WORD, "vectors": 2, "sample_every": 2, "sample_steps": 2}
    work = graph("TrainTI", pictures, ["embedding"], model, steps=2, **more)
    made = embedding_of(session, work, watcher)
    assert list(made.vectors) == encoders
    assert len([event for event in watcher.events if isinstance(event, Sample)]) == 1
    saved = Path(str(run_node(session, SaveEmbedding(embedding=made))["out"]))
    names = {"t5": "t5xxl"}  # ComfyUI's
    assert load_file(saved).keys() == {names.get(name, name) for name in encoders}
    with safe_open(saved, "pt") as file:
        assert file.metadata()["modelspec.architecture"] == "stable-diffusion-v3/textual-inversion"
    place = home / "models" / "embeddings" / "zzz.safetensors"
    place.parent.mkdir()
    place.write_bytes(saved.read_bytes())
    reopened = run_node(session, OpenEmbedding(file="zzz"))["out"]
    assert isinstance(reopened, Embedding)
    for name, rows in made.vectors.items():
        assert torch.equal(reopened.vectors[name], rows)

    encoder = run_node(session, LoadModel(model=model))["encoder"]
    assert isinstance(encoder, TextEncoder)
    loaded = run_node(session, LoadEmbeddings(encoder=encoder))["out"]
    assert isinstance(loaded, TextEncoder)
    initial = replace(
        made,
        vectors=embedding_of(
            session, graph("TrainTI", pictures, ["embedding"], model, steps=0, **more)
        ).vectors,
    )
    place.write_bytes(Path(str(run_node(session, SaveEmbedding(embedding=initial))["out"])).read_bytes())
    before = run_node(session, LoadEmbeddings(encoder=encoder))["out"]
    assert isinstance(before, TextEncoder)
    with_initial, words = encoded(session, before, "a zzz"), encoded(session, encoder, "a cat cat")
    assert torch.allclose(with_initial.embeddings, words.embeddings, atol=1e-5), "the initial vectors"
    place.write_bytes(saved.read_bytes())
    changed = (encoded(session, loaded, "a zzz").embeddings - words.embeddings).abs()[0]
    assert float(changed[:2].max()) < 1e-4, "before the trigger, CLIP reads only what is before it"
    for rows in (changed[2:77, :WIDTH], changed[2:77, WIDTH : 2 * WIDTH]):
        assert float(rows.max()) > 1e-3
    assert (float(changed[77:].max()) > 1e-3) == ("t5" in encoders)


def test_the_validation_loss_falls_on_what_is_learned_by_heart(session: Session, pictures: Path) -> None:
    work = graph("TrainModel", pictures, ["model"], rate="3e-3", steps=30, validate_every=15, copy_every=0)
    work.nodes["train"].inputs["validation"] = From("data", "out")
    watcher = Watcher()
    assert session.run(work, emit=watcher).state == "done"
    losses = [row["validation_loss"] or 0 for row in watcher.rows if "validation_loss" in row]
    assert len(losses) == 3
    assert losses[0] > losses[1] > losses[2]
    assert losses[2] < 0.85 * losses[0]


@pytest.mark.parametrize(
    ("node", "result", "more"),
    [
        ("TrainTI", "embedding", {**WORD, "noise_levels": "mode"}),
        ("TrainLoRA", "lora", {**LORA, "dora": True, "dropout": 0.3, "gradient_checkpointing": True}),
        ("TrainPivotal", "embedding", {**WORD, **LORA, "kind": "lokr", "text_rate": "0.01"}),
    ],
)
def test_stopped_and_run_again_it_gives_the_same_bits(
    open_session: Callable[..., Session],
    home: Path,
    models: Path,
    pictures: Path,
    tmp_path: Path,
    node: str,
    result: str,
    more: dict[str, Any],
) -> None:
    work = graph(node, pictures, [result], steps=4, checkpoint_every=1, validate_every=2, **more)
    work.nodes["train"].inputs["validation"] = From("data", "out")
    other = tmp_path / "whole"
    (other / "models").mkdir(parents=True)
    (other / "models" / "checkpoints").symlink_to(models)
    whole = output(open_session(other).run(work), result)
    requests = Requests()
    first = Watcher(lambda step: requests.ask("train", "stop") if step == 2 else None)
    assert open_session().run(work, emit=first, requests=requests).state == "cancelled"
    second = Watcher()
    assert output(open_session().run(work, emit=second), result).pack() == whole.pack()
    assert first.steps + second.steps == [1, 2, 3, 4]
    assert ran(open_session().run(work)) == set()


def test_a_trained_lora_acts_as_its_file_does(session: Session, home: Path, pictures: Path) -> None:
    more = {**LORA, "targets": "transformer", "text_rate": "0.01", "steps": 2}
    lora = lora_of(session, graph("TrainLoRA", pictures, ["lora"], **more))
    saved = Path(str(run_node(session, SaveLoRA(lora=lora))["out"]))
    keys = load_file(saved).keys()
    assert {key.split("_")[1] for key in keys} == {"transformer", "te1", "te2"}
    assert "lora_transformer_transformer_blocks_0_attn_add_q_proj.lora_up.weight" in keys
    with safe_open(saved, "pt") as file:
        metadata = file.metadata()
    assert metadata["ss_base_model_version"] == "sd3"
    assert "modelspec.prediction_type" not in metadata
    place = home / "models" / "loras" / "ink.safetensors"
    place.parent.mkdir()
    place.write_bytes(saved.read_bytes())
    parts: dict[str, Any] = dict(run_node(session, LoadModel(model="clips")))
    wired = {"model": parts["model"], "encoder": parts["encoder"], "weight": 1.0}
    made = run_node(session, ApplyLoRA(**wired, trained=lora))
    read = run_node(session, ApplyLoRA(**wired, lora="ink"))
    for name in ("model", "encoder"):
        ours, theirs, plain = (_weights(one[name], session) for one in (made, read, parts))
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
        changed = {key for key in ours if not torch.equal(ours[key], plain[key])}
        layers = {key.partition(".")[0] for key in keys if key.startswith("lora_te") == (name == "encoder")}
        unused = {"transformer_blocks.2.attn.add_q_proj.weight"} if name == "model" else set()
        assert len(changed) == len(layers - unused) - len(unused), "the last block does not use its prompt"


def test_a_trained_model_is_the_one_of_its_changes_and_a_lora_can_be_extracted(
    session: Session, pictures: Path
) -> None:
    work = graph("TrainModel", pictures, ["model"], steps=2, rate="1e-3", precision="bfloat16")
    tuned = output(session.run(work), "model")
    base = run_node(session, LoadModel(model="clips"))["model"]
    assert isinstance(tuned, Model)
    assert isinstance(base, Model)
    after, before = _weights(tuned, session), _weights(base, session)
    same = {key.rpartition(".")[0] for key in after if torch.equal(after[key], before[key])}
    assert same <= {"transformer_blocks.2.attn.add_q_proj", "transformer_blocks.2.attn.norm_added_q"}
    extracted = run_node(session, ExtractLoRA(tuned=tuned, base=base, rank=24))
    assert extracted["report"]["kept"] > 0.9  # type: ignore[index]


def _weights(recipe: Any, session: Session) -> Mapping[str, torch.Tensor]:
    loaded = recipe.exact(session.files)
    if isinstance(recipe, Model):
        return dict(loaded.named_parameters())
    return {
        f"{one.role.name} {name}": rows for one in loaded for name, rows in one.encoder.named_parameters()
    }


@pytest.mark.parametrize(
    ("inputs", "input", "code"),
    [
        ({"min_snr": 5.0}, "min_snr", "flow_model"),
        ({"debiased": True}, "debiased", "flow_model"),
        ({"velocity_as_noise": True}, "velocity_as_noise", "flow_model"),
        ({"noise_offset": 0.1}, "noise_offset", "flow_model"),
        ({"adaptive_noise_offset": 0.1}, "adaptive_noise_offset", "flow_model"),
        ({"multires_noise": 0.3}, "multires_noise", "flow_model"),
        ({"loss": "huber"}, "huber_schedule", "flow_model"),
        ({"first_timestep": 900, "last_timestep": 100}, "first_timestep", "node_failed"),
        ({"width": 40}, "resize", "bad_size"),
        ({"width": 1024}, "resize", "bad_size"),
        ({"model": "safelight-tiny", "noise_levels": "mode"}, "noise_levels", "not_a_flow"),
        ({"model": "safelight-tiny", "logit_mean": 1.0}, "logit_mean", "not_a_flow"),
    ],
)
def test_settings_that_do_not_suit_the_noise_of_a_model_are_refused(
    session: Session, pictures: Path, inputs: dict[str, Any], input: str, code: str
) -> None:
    work = graph("TrainTI", pictures, ["embedding"], **{**WORD, "steps": 1, **inputs})
    assert problem_of(session.run(work)) == (input, code)


def test_settings_of_another_scheme_are_warned_about(session: Session, pictures: Path) -> None:
    watcher = Watcher()
    more = {
        **WORD,
        "noise_levels": "uniform",
        "logit_std": 2.0,
        "loss": "huber",
        "huber_schedule": "constant",
    }
    assert (
        session.run(graph("TrainTI", pictures, ["embedding"], steps=1, **more), emit=watcher).state == "done"
    )
    assert ["logit_std" in text for text in warnings(watcher.events) if "no effect" in text] == [True]


def test_hypernetworks_and_parts_of_other_models_are_refused(session: Session, pictures: Path) -> None:
    work = graph("TrainHypernetwork", pictures, ["hypernetwork"], steps=1)
    assert problem_of(session.run(work)) == ("model", "not_a_unet")
    for part in ("encoder", "vae"):
        work = graph("TrainTI", pictures, ["embedding"], steps=1, **WORD)
        other = graph("TrainTI", pictures, ["embedding"], "xl")
        work.nodes["other"] = other.nodes["model"]
        work.nodes["train"].inputs[part] = From("other", part)
        assert problem_of(session.run(work)) == (part, "wrong_family")


def test_an_embedding_of_sd1_cannot_be_continued_and_one_of_sdxl_can(
    session: Session, home: Path, pictures: Path
) -> None:
    """SDXL has the same two CLIPs, so its vectors are a beginning for SD 3 without T5."""
    folder = home / "models" / "embeddings"
    folder.mkdir()
    save_file({"emb_params": torch.ones(1, WIDTH)}, folder / "one.safetensors")
    save_file({name: torch.ones(1, WIDTH) for name in ("clip_l", "clip_g")}, folder / "two.safetensors")

    def work(name: str, model: str) -> Graph:
        made = graph("TrainTI", pictures, ["embedding"], model, steps=0, **WORD)
        other = graph("OpenEmbedding", pictures, [])
        made.nodes["open"] = replace(
            other.nodes["train"], type="OpenEmbedding@1", inputs={"file": Literal(name)}
        )
        made.nodes["train"].inputs["embedding"] = From("open", "out")
        return made

    assert problem_of(session.run(work("one", "clips"))) == ("embedding", "wrong_width")
    assert problem_of(session.run(work("two", "all"))) == ("embedding", "wrong_width")
    found = embedding_of(session, work("two", "clips"))
    assert all(torch.equal(rows, torch.ones(1, WIDTH)) for rows in found.vectors.values())


def test_vectors_of_unlike_length_and_early_stops(session: Session, pictures: Path) -> None:
    """Without a number of vectors, there are as many as CLIP has tokens, for T5, too."""
    more = {**WORD, "initial_text": "a red cubist", "vectors": 0, "validate_every": 1, "patience": 1}
    work = graph(
        "TrainTI", pictures, ["embedding", "report"], "all", steps=20, keep="best", **{**more, "rate": "5"}
    )
    work.nodes["train"].inputs["validation"] = From("data", "out")
    report = session.run(work)
    made = output(report, "embedding")
    encoder: Any = run_node(session, LoadModel(model="all"))["encoder"]
    tokens = encoded(session, encoder, "a red cubist").tokens
    assert {len(rows) for rows in made.vectors.values()} == {tokens}
    told: Any = report.outputs["report"].meta
    assert told["stopped_early"]
    assert told["best_step"] < told["steps"] < 20
