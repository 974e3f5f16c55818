"""Models of other families in graphs: prompts, LoRAs, embeddings, hypernetworks and saving, as for SD 1."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from engine.document.graph import Binding, Entry, From, Graph, Literal
from engine.events import Event
from engine.session import Session
from engine.sources import source
from nodes.files.checkpoints import checkpoint
from nodes.sd.families.known import families
from nodes.values import Conditioning
from tests.nodes.conftest import GRAPHS, output, warnings
from tests.nodes.model.test_hypernetwork import saved
from tests.nodes.model.test_lora import rand, small
from tests.nodes.sd.families.small import WIDTH, small_model

KEYS = {
    "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k": (32, 2 * WIDTH),
    "lora_te1_text_model_encoder_layers_0_self_attn_q_proj": (WIDTH, WIDTH),
    "lora_te2_text_model_encoder_layers_0_mlp_fc1": (64, WIDTH),
}
"""Keys of a LoRA for SDXL as kohya writes them, and the shapes of the weights."""


@pytest.fixture
def xl(home: Path) -> Path:
    """A small SDXL model in a file."""
    place = home / "models" / "checkpoints" / "xl.safetensors"
    place.parent.mkdir(parents=True)
    small_model("sdxl").save_file(place)
    return place


def graph(model: str, *, patched: bool = False) -> Graph:
    """Text to image, with or without a LoRA."""
    made = source.load(GRAPHS / "text_to_image.json")
    made.nodes["model"].inputs["model"] = Literal(model)
    before = "model"
    if patched:
        links = {part: From("model", part) for part in ("model", "encoder")}
        made.nodes["lora"] = Entry("ApplyLoRA@1", {**links, "lora": Literal("xl"), "weight": Literal(1.0)})
        before = "lora"
    made.nodes["denoise"].inputs["model"] = From(before, "model")
    for prompt in ("positive", "negative"):
        made.nodes[prompt].inputs["encoder"] = From(before, "encoder")
    return made


def drawn(session: Session, made: Graph, prompt: str = "a cat", events: list[Event] | None = None) -> Any:
    values: dict[str, Any] = {"prompt": prompt, "steps": 2, "width": 64, "height": 64}
    report = session.run(made, values, emit=None if events is None else events.append)
    return output(report).pixels


def test_a_lora_for_sdxl_acts_and_is_merged_into_a_file(session: Session, home: Path, xl: Path) -> None:
    parts = {
        f"{key}.lora_{side}.weight": rand(number, *shape) * 0.5
        for number, (key, (rows, columns)) in enumerate(KEYS.items())
        for side, shape in {"up": (rows, 2), "down": (2, columns)}.items()
    }
    small(home / "models" / "loras", "xl.safetensors", parts)
    plain = drawn(session, graph("xl.safetensors"))
    events: list[Event] = []
    patched = drawn(session, graph("xl.safetensors", patched=True), events=events)
    assert not warnings(events)
    assert not np.array_equal(plain, patched)

    saving = graph("xl.safetensors", patched=True)
    links = {"model": From("lora", "model"), "encoder": From("lora", "encoder"), "vae": From("model", "vae")}
    saving.nodes["save"] = Entry(
        "SaveModel@1", {**links, **{key: Literal(value) for key, value in FILE.items()}}
    )
    saving.outputs = {}
    assert session.run(saving, {}).state == "done"
    target = home / "outputs" / "merged.safetensors"
    with safe_open(target, framework="pt") as opened:
        assert opened.metadata()["modelspec.architecture"] == "stable-diffusion-xl-v1-base"
        assert opened.metadata()["modelspec.prediction_type"] == "epsilon"
    shutil.move(target, xl.parent)
    assert np.array_equal(drawn(session, graph("merged.safetensors")), patched)


@pytest.mark.usefixtures("xl")
@pytest.mark.parametrize("kohya", [True, False])
def test_a_lora_of_another_family_is_refused_by_the_names_of_both(
    session: Session, home: Path, kohya: bool
) -> None:
    """Of kohya's names, SDXL models have none; of diffusers', they have some, with other shapes."""
    block = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
    key = f"lora_unet_{block.replace('.', '_')}.lora_{{}}" if kohya else f"unet.{block}.lora.{{}}"
    sides = {"up": (64, 2), "down": (2, 768)}
    parts = {f"{key.format(side)}.weight": rand(1, *shape) for side, shape in sides.items()}
    small(home / "models" / "loras", "xl.safetensors", parts)
    failed = session.run(graph("xl", patched=True)).nodes["lora"].problem
    assert failed is not None
    assert (failed.code, failed.input) == ("bad_lora", "lora")
    assert "SD 1" in (failed.hint or "")
    assert "SDXL" in (failed.hint or "")


FILE = {"path": "merged", "format": "file", "precision": "float32"}


def test_embeddings_of_sdxl_reach_both_text_encoders(session: Session, home: Path, xl: Path) -> None:
    vectors = {name: rand(3, 2, WIDTH) for name in ("clip_l", "clip_g")}
    small(home / "models" / "embeddings", "gem.safetensors", vectors)
    made = graph("xl.safetensors")
    made.nodes["words"] = Entry("LoadEmbeddings@1", {"encoder": From("model", "encoder")})
    made.nodes["positive"].inputs["encoder"] = From("words", "out")
    made.outputs = {"cond": From("positive", "out")}
    with_gem, without = (
        output(session.run(made, {"prompt": prompt}), "cond") for prompt in ("a gem", "a cat dog")
    )
    changed = (with_gem.embeddings != without.embeddings)[0].any(0)
    assert changed[:WIDTH].any()
    assert changed[WIDTH:].any()
    assert with_gem.tokens == without.tokens


def test_an_empty_negative_prompt_of_sdxl_is_zeros(session: Session, xl: Path) -> None:
    made = graph("xl.safetensors")
    made.outputs = {name: From(name, "out") for name in ("positive", "negative")}
    report = session.run(made, {"prompt": "", "negative": " "})
    negative, positive = (output(report, name) for name in ("negative", "positive"))
    assert isinstance(negative, Conditioning)
    assert negative.pooled is not None
    assert negative.embeddings.shape == (1, 77, 2 * WIDTH)
    assert not negative.embeddings.any()
    assert not negative.pooled.any()
    assert positive.embeddings.any(), "without `negative`, an empty prompt is encoded as any other"


def test_the_index_of_a_folder_decides_whether_an_empty_negative_prompt_is_zeros(
    session: Session, home: Path
) -> None:
    folder = home / "models" / "checkpoints" / "xl"
    small_model("sdxl").save_folder(folder)
    index = json.loads((folder / "model_index.json").read_text())
    assert index["force_zeros_for_empty_prompt"] is True
    index["force_zeros_for_empty_prompt"] = False
    (folder / "model_index.json").unlink()
    (folder / "model_index.json").write_text(json.dumps(index))
    made = graph("xl")
    made.outputs = {"negative": From("negative", "out")}
    negative = output(session.run(made, {"negative": ""}), "negative")
    assert isinstance(negative, Conditioning)
    assert negative.embeddings.any()


def test_a_hypernetwork_for_sdxl_acts(session: Session, home: Path, xl: Path) -> None:
    saved(home / "models" / "hypernetworks" / "soft.pt", width=2 * WIDTH)
    made = graph("xl.safetensors")
    made.nodes["soft"] = Entry(
        "ApplyHypernetwork@1", {"model": From("model", "model"), "hypernetwork": Literal("soft")}
    )
    plain = drawn(session, made)
    made.nodes["denoise"].inputs["model"] = From("soft", "out")
    events: list[Event] = []
    assert not np.array_equal(drawn(session, made, events=events), plain)
    assert not warnings(events)


def test_a_ckpt_with_a_nested_state_dict_draws_what_the_safetensors_file_draws(
    session: Session, xl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pickle brings no configs, so the small sizes are given as those of the family."""
    model = small_model("sdxl")
    for family in families():
        if family is model.family:
            configs = {f"{part}.json": config for part, config in model.configs.items()}
    from nodes.sd.models import checkpoint_file

    monkeypatch.setattr(checkpoint_file, "read_object", lambda path: configs[path.name])
    extra = {"model_ema.decay": torch.tensor(0.5), "global_step": 7}
    weights = {**model.in_file(), "model_ema.decay": extra["model_ema.decay"]}
    torch.save({"state_dict": weights, "global_step": 7, "epoch": 1}, xl.with_suffix(".ckpt"))
    found = checkpoint(session.files, "xl.ckpt")
    assert (found.family, found.digest) == ("sdxl", session.files.digest(xl.with_suffix(".ckpt")))
    assert np.array_equal(drawn(session, graph("xl.ckpt")), drawn(session, graph("xl.safetensors")))


def test_a_model_that_takes_over_from_itself_draws_what_it_draws_alone(session: Session) -> None:
    """The hand-over keeps the noise of its level, so with a sampler without memory nothing changes."""
    made = source.load(GRAPHS / "sdxl_refiner.json")
    for part in ("draw", "refine"):
        made.nodes[part].inputs["sampler"] = Literal("euler")
    alone = source.load(GRAPHS / "text_to_image.json")
    alone.nodes["denoise"].inputs["sampler"] = Literal("euler")
    values: dict[str, Any] = {"prompt": "a red circle", "width": 64, "height": 64}
    two = output(session.run(made, {**values, "total_steps": 4, "switch": 3})).pixels
    one = output(session.run(alone, {**values, "steps": 4})).pixels
    assert np.array_equal(two, one)


def test_the_refiner_of_sdxl_takes_over_from_the_base(session: Session, xl: Path) -> None:
    small_model("sdxl-refiner").save_file(xl.parent / "refiner.safetensors")
    made = source.load(GRAPHS / "sdxl_refiner.json")
    values: dict[str, Any] = {"base": "xl", "width": 64, "height": 64, "total_steps": 3, "switch": 2}
    refined = output(session.run(made, {**values, "refiner": "refiner"})).pixels
    plain = output(session.run(made, {**values, "refiner": "xl"})).pixels
    assert not np.array_equal(refined, plain)


@pytest.mark.usefixtures("xl")
@pytest.mark.parametrize("node", ["decode", "again"])
def test_a_latent_of_another_family_is_refused_by_the_names_of_both(session: Session, node: str) -> None:
    """SD 1 and SDXL have latents of one shape, so nothing else tells that the picture would be wrong."""
    made = graph("xl")
    made.nodes["other"] = Entry("LoadModel@1")
    if node == "decode":
        made.nodes["decode"].inputs["vae"] = From("other", "vae")
    else:
        prompts = {
            name: Entry("EncodePrompt@2", {"encoder": From("other", "encoder"), "prompt": Literal("a cat")})
            for name in ("positive-2", "negative-2")
        }
        inputs: dict[str, Binding] = {
            **made.nodes["denoise"].inputs,
            "model": From("other", "model"),
            "positive": From("positive-2", "out"),
            "negative": From("negative-2", "out"),
            "latent": From("larger", "out"),
            "strength": Literal(0.5),
        }
        larger: dict[str, Binding] = {"latent": From("denoise", "latent"), "factor": Literal(1.0)}
        made.nodes |= {
            **prompts,
            "larger": Entry("ScaleLatent@1", larger),
            "again": Entry("Denoise@3", inputs),
        }
    values: dict[str, Any] = {"prompt": "a cat", "steps": 2, "width": 64, "height": 64}
    failed = session.run(made, values, targets=[node]).nodes[node].problem
    assert failed is not None
    assert (failed.code, failed.input) == ("wrong_family", "latent")
    assert "SDXL" in failed.message
    assert "SD 1" in failed.message


def test_models_of_sd_1_and_2_have_the_same_latents() -> None:
    """As the autoencoders that their authors published: one for SD 1 and 2, one for SDXL and its refiner, one
    for both models of FLUX.1."""
    spaces = {family.name: family.latents for family in families()}
    assert spaces["sd1"] == spaces["sd2"]
    assert spaces["sdxl"] == spaces["sdxl-refiner"]
    assert spaces["flux"] == spaces["flux-schnell"]
    assert len(set(spaces.values())) == 4
