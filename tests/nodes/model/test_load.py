"""Models by name: the embedded one, a folder of one's own, and what is missing or damaged."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.numpy import save
from safetensors.torch import load_file

from engine.errors import GraphError
from engine.session import Session
from engine.sources import source
from tests.nodes.conftest import GRAPHS, output, ran
from tests.nodes.sd.conftest import TINY

GRAPH = source.load(GRAPHS / "text_to_image.json")
FEW = {"steps": 2}


class Unsafe:
    """Runs code when it is unpickled as usual."""

    ran: ClassVar[list[bool]] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return Unsafe.ran.append, (True,)


@pytest.fixture
def own(home: Path) -> Path:
    """A model of one's own, in the home's folder for checkpoints."""
    place = home / "models" / "checkpoints" / "own"
    shutil.copytree(TINY, place)
    return place


def test_a_folder_dropped_in_is_found_and_draws_the_same(session: Session, own: Path) -> None:
    embedded = output(session.run(GRAPH, FEW)).pixels
    assert (output(session.run(GRAPH, {**FEW, "model": "own"})).pixels == embedded).all()


def test_a_missing_model_is_said_before_anything_runs(session: Session, own: Path) -> None:
    with pytest.raises(GraphError) as refused:
        session.run(GRAPH, {**FEW, "model": "owm"})
    (problem,) = refused.value.problems
    assert (problem.code, problem.node) == ("missing_file", "model")
    assert problem.hint == "did you mean own?"


def test_a_mistyped_name_of_the_embedded_model_is_near_to_it(session: Session, own: Path) -> None:
    with pytest.raises(GraphError) as refused:
        session.run(GRAPH, {**FEW, "model": "safelight-tny"})
    (problem,) = refused.value.problems
    assert (problem.code, problem.node, problem.input) == ("missing_file", "model", "model")
    assert problem.hint == "did you mean safelight-tiny?"


def tensors(*names: str) -> bytes:
    return save({name: np.zeros((2, 2), "float32") for name in names})


FLUX = "double_blocks.0.img_attn.qkv.weight"


@pytest.mark.parametrize(
    ("name", "content", "code", "message"),
    [
        (
            "ink.safetensors",
            tensors("lora_unet_a.lora_up.weight"),
            "wrong_kind",
            "is a LoRA, not a checkpoint",
        ),
        (
            "vae.safetensors",
            tensors("decoder.conv_in.weight", "encoder.conv_in.weight"),
            "wrong_kind",
            "is a VAE",
        ),
        ("word.safetensors", tensors("emb_params"), "wrong_kind", "is an embedding"),
        (
            "pose.safetensors",
            tensors("control_model.input_hint_block.0.weight"),
            "wrong_kind",
            "is a ControlNet",
        ),
        (
            "x4.safetensors",
            tensors("model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight"),
            "wrong_kind",
            "is an upscale",
        ),
        (
            "clip.safetensors",
            tensors("text_model.embeddings.token_embedding.weight"),
            "wrong_kind",
            "is a text encoder",
        ),
        (
            "part.safetensors",
            tensors("model.diffusion_model.out.0.weight"),
            "bad_model",
            "of an unknown family",
        ),
        (
            "bare.safetensors",
            tensors("model.diffusion_model.out.0.weight", "cond_stage_model.transformer.x.weight"),
            "bad_model",
            "is a checkpoint of SD 1 without its VAE",
        ),
        ("flux-alone.safetensors", tensors(FLUX, *map(str, range(100))), "wrong_kind", "transformer"),
        (
            "flux-half.safetensors",
            tensors(f"model.diffusion_model.{FLUX}"),
            "bad_model",
            "of an unknown family",
        ),
        (
            "flux-2.safetensors",
            tensors(FLUX, "double_stream_modulation_img.lin.weight"),
            "other_model",
            "is a FLUX.2 model",
        ),
        (
            "chroma.safetensors",
            tensors(FLUX, "distilled_guidance_layer.in_proj.weight"),
            "other_model",
            "is a Chroma model",
        ),
        (
            "fill.safetensors",
            save({FLUX: np.zeros((2, 2), "float32"), "img_in.weight": np.zeros((2, 384), "float32")}),
            "other_model",
            "is a FLUX.1 Fill model",
        ),
        (
            "canny.safetensors",
            save(
                {
                    f"model.diffusion_model.{FLUX}": np.zeros((2, 2), "float32"),
                    "model.diffusion_model.img_in.weight": np.zeros((2, 128), "float32"),
                }
            ),
            "other_model",
            "is a FLUX.1 Depth or Canny model",
        ),
        (
            "redux.safetensors",
            tensors("redux_up.weight", "redux_down.weight"),
            "other_model",
            "is a FLUX.1 Redux model",
        ),
        (
            "wan.safetensors",
            tensors("blocks.0.self_attn.norm_q.weight", *map(str, range(100))),
            "other_model",
            "is a Wan model",
        ),
        (
            "unclip.safetensors",
            tensors("cond_stage_model.model.transformer.resblocks.0.ln_1.bias", "embedder.model.visual.proj"),
            "other_model",
            "is an SD 2 unCLIP model",
        ),
        ("numbers.safetensors", tensors(*map(str, range(100))), "unknown_kind", "is of no known kind"),
        ("model.gguf", b"GGUF\x03\0\0\0", "unknown_format", "is a GGUF file"),
        ("notes.txt", b"a model?", "unknown_format", "neither a safetensors file nor a pickle"),
        ("empty.safetensors", b"", "empty", "is empty"),
        ("cut.ckpt", b"PK\3\4 a download that stopped", "truncated", "cut short"),
        ("evil.ckpt", pickle.dumps(print), "unsafe_pickle", "print"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_called_by_what_it_is(
    session: Session, home: Path, name: str, content: bytes, code: str, message: str
) -> None:
    folder = home / "models" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    with pytest.raises(GraphError) as refused:
        session.run(GRAPH, {**FEW, "model": name})
    (problem,) = refused.value.problems
    assert (problem.code, problem.node, problem.input) == (code, "model", "model")
    assert name in problem.message
    assert message in problem.message
    assert code != "wrong_kind" or "move it to models/" in (problem.hint or "")


def test_changed_weights_are_another_model(open_session: Callable[[], Session], own: Path) -> None:
    open_session().run(GRAPH, {**FEW, "model": "own"})
    weights = own / "vae" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-2:] = b"\x00\x00"
    weights.write_bytes(data)
    assert ran(open_session().run(GRAPH, {**FEW, "model": "own"})) == set(GRAPH.nodes) - {"canvas"}


def test_truncated_weights_fail_what_needs_them_and_nothing_else(session: Session, own: Path) -> None:
    weights = own / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    report = session.run(GRAPH, {**FEW, "model": "own"})
    assert {node: fared.state for node, fared in report.nodes.items()} == {
        "model": "done",
        "positive": "done",
        "negative": "done",
        "canvas": "done",
        "denoise": "failed",
        "decode": "skipped",
    }
    problem = report.nodes["denoise"].problem
    assert problem is not None
    assert "diffusion_pytorch_model.safetensors" in problem.message


def test_pickled_weights_draw_the_same_and_their_code_is_not_run(session: Session, own: Path) -> None:
    embedded = output(session.run(GRAPH, FEW)).pixels
    for weights, name in (
        (own / "unet" / "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"),
        (own / "text_encoder" / "model.safetensors", "pytorch_model.bin"),
    ):
        pickled = weights.with_name(name)
        torch.save(load_file(weights), pickled)
        weights.unlink()
    assert (output(session.run(GRAPH, {**FEW, "model": "own"})).pixels == embedded).all()
    pickled.write_bytes(pickle.dumps(Unsafe()))
    problem = session.run(GRAPH, {**FEW, "model": "own"}).nodes["positive"].problem
    assert problem is not None
    assert "pytorch_model.bin" in problem.message
    assert not Unsafe.ran


@pytest.mark.parametrize("name", ["../own", "/etc", "", "a\0b", "C:own"])
def test_no_name_leads_out_of_the_folders(home: Path, own: Path, name: str) -> None:
    from engine import settings

    with (
        Session(settings.load(home, device="cpu"), local=False) as session,
        pytest.raises(GraphError, match="name"),
    ):
        session.plan(GRAPH, {"model": name})
