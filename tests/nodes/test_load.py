"""Models by name: the embedded one, a folder of one's own, and what is missing or damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine import source
from engine.errors import GraphError
from engine.session import Session
from tests.nodes.conftest import GRAPHS, output, ran
from tests.nodes.sd.conftest import TINY

GRAPH = source.load(GRAPHS / "text_to_image.json")
FEW = {"steps": 2}


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


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("v1-5.safetensors", "a checkpoint in a single file (safetensors)"),
        ("v1-5.ckpt", "a checkpoint in a single file (a pickle, such as .ckpt, which can hold programs)"),
        ("old.ckpt", "a checkpoint in a single file (a pickle, such as .ckpt, which can hold programs)"),
        ("model.gguf", "a GGUF file"),
        ("notes.txt", "a file"),
        ("empty.safetensors", "a file"),
    ],
)
def test_a_single_file_is_called_by_what_it_is_with_a_way_out(
    session: Session, home: Path, name: str, what: str
) -> None:
    import io
    import pickle
    import zipfile

    from safetensors.numpy import save

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("archive/data.pkl", b"")
    content = {
        "v1-5.safetensors": save({"model.diffusion_model.out.0.weight": np.zeros(4, "float32")}),
        "v1-5.ckpt": archive.getvalue(),
        "old.ckpt": pickle.dumps({"state_dict": {}}),
        "model.gguf": b"GGUF\x03\0\0\0",
        "notes.txt": b"a model?",
        "empty.safetensors": b"",
    }
    folder = home / "models" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content[name])
    with pytest.raises(GraphError) as refused:
        session.run(GRAPH, {**FEW, "model": name})
    (problem,) = refused.value.problems
    assert (problem.code, problem.node, problem.input) == ("bad_model", "model", "model")
    assert problem.message == f"{name} is {what}, and models are read from folders"
    assert problem.hint is not None
    assert "from_single_file" in problem.hint


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


def test_pickled_weights_are_refused(session: Session, own: Path) -> None:
    (own / "unet" / "diffusion_pytorch_model.safetensors").rename(
        own / "unet" / "diffusion_pytorch_model.bin"
    )
    with pytest.raises(GraphError, match="is a pickle, which can run code"):
        session.run(GRAPH, {**FEW, "model": "own"})


@pytest.mark.parametrize("name", ["../own", "/etc", "", "a\0b", "C:own"])
def test_no_name_leads_out_of_the_folders(home: Path, own: Path, name: str) -> None:
    from engine import settings

    with (
        Session(settings.load(home, device="cpu"), local=False) as session,
        pytest.raises(GraphError, match="name"),
    ):
        session.plan(GRAPH, {"model": name})
