"""Files that recipes name by digest: found wherever they lie, and told by name where they are gone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from engine.document.graph import Entry, From, Graph, Literal
from engine.errors import NodeError
from engine.files import Files
from engine.session import Session
from engine.sources import source
from engine.store.disk import Disk
from nodes.files.file_names import resolve
from nodes.files.located import located
from tests.nodes.conftest import GRAPHS, output, ran
from tests.nodes.model.test_hypernetwork import saved
from tests.nodes.model.test_lora import text_lora
from tests.nodes.sd.families.small import small_model

FEW = {"steps": 1}


def graph(kind: str) -> Graph:
    """Text to image with a file of some kind, found by its bare name."""
    made = source.load(GRAPHS / "text_to_image.json")
    nodes, denoise = made.nodes, made.nodes["denoise"].inputs
    model, encoder = From("model", "model"), From("model", "encoder")
    if kind == "loras":
        nodes["it"] = Entry("ApplyLoRA@1", {"model": model, "encoder": encoder, "lora": Literal("ink")})
        denoise["model"] = From("it", "model")
    elif kind == "tag":
        prompt = Literal("a circle <lora:ink:0.5>")
        nodes["it"] = Entry("ApplyTags@1", {"model": model, "encoder": encoder, "prompt": prompt})
        denoise["model"] = From("it", "model")
    elif kind == "hypernetworks":
        nodes["it"] = Entry("ApplyHypernetwork@1", {"model": model, "hypernetwork": Literal("ink")})
        denoise["model"] = From("it", "out")
    else:
        nodes["it"] = Entry("LoadEmbeddings@1", {"encoder": encoder, "files": Literal("ink")})
        nodes["positive"].inputs["encoder"] = From("it", "out")
    return made


def written(folder: Path, kind: str) -> Path:
    folder.mkdir(parents=True)
    if kind == "hypernetworks":
        saved(folder / "ink.pt", activation_func="relu", second="linear.2")
        return folder / "ink.pt"
    if kind == "embeddings":
        save_file({"emb_params": torch.ones(2, 64)}, folder / "ink.safetensors")
    else:
        save_file(text_lora(), folder / "ink.safetensors")
    return folder / "ink.safetensors"


@pytest.mark.parametrize("forget", [False, True], ids=["seen before", "facts lost"])
@pytest.mark.parametrize("kind", ["loras", "tag", "hypernetworks", "embeddings"])
def test_a_file_found_by_its_bare_name_may_be_moved(
    open_session: Callable[..., Session], home: Path, kind: str, forget: bool
) -> None:
    folder = home / "models" / ("loras" if kind == "tag" else kind)
    file = written(folder / "old", kind)
    prompt: dict[str, Any] = {**FEW, "prompt": "a circle of ink"}
    with open_session() as first:
        before = output(first.run(graph(kind), prompt)).pixels
    (folder / "new").mkdir()
    file.rename(folder / "new" / file.name)
    if forget:
        for facts in (home / "store").glob("facts*"):
            facts.unlink()
    with open_session() as second:
        assert isinstance(second.store.disk, Disk)
        for node_type in ("EncodePrompt", "Denoise", "Decode"):
            assert second.store.disk.clear(node_type)[0]
        report = second.run(graph(kind), prompt)
        assert "it" not in ran(report), "its recipe is the cached one, which names the old place"
        assert (output(report).pixels == before).all()


@pytest.mark.parametrize("name", ["ink", "ink.safetensors", "folder"])
def test_a_checkpoint_may_be_moved_to_another_folder(
    open_session: Callable[..., Session], home: Path, name: str
) -> None:
    checkpoints = home / "models" / "checkpoints"
    (checkpoints / "new").mkdir(parents=True)
    old = checkpoints / ("folder" if name == "folder" else "ink.safetensors")
    if name == "folder":
        small_model("sd1").save_folder(old)
    else:
        small_model("sd1").save_file(old)
    made = source.load(GRAPHS / "text_to_image.json")
    made.nodes["model"].inputs["model"] = Literal(name)
    values: dict[str, Any] = {**FEW, "prompt": "a circle", "width": 64, "height": 64}
    with open_session() as first:
        before = output(first.run(made, values)).pixels
    old.rename(checkpoints / "new" / old.name)
    with open_session() as second:
        assert isinstance(second.store.disk, Disk)
        for node_type in ("EncodePrompt", "Denoise", "Decode"):
            assert second.store.disk.clear(node_type)[0]
        report = second.run(made, values)
        assert "model" not in ran(report), "its recipe is the cached one, which names the old place"
        assert (output(report).pixels == before).all()


@pytest.mark.parametrize("name", ["a.pt", "sub/a.pt", "a"])
def test_a_name_means_a_file_in_any_sub_folder(files: Files, folder: Path, name: str) -> None:
    (folder / "sub" / "a.pt").write_bytes(b"")
    assert resolve(files, "loras", name) == "sub/a.pt"


def test_a_file_at_the_top_comes_before_one_of_its_name_in_a_sub_folder(files: Files, folder: Path) -> None:
    for name in ("a.pt", "sub/a.pt"):
        (folder / name).write_bytes(b"")
    assert resolve(files, "loras", "a.pt") == "a.pt"


def test_a_name_in_another_sub_folder_is_another_file(files: Files, folder: Path) -> None:
    (folder / "sub" / "a.pt").write_bytes(b"")
    assert resolve(files, "loras", "other/a.pt") == "other/a.pt"
    (folder / "more").mkdir()
    (folder / "more" / "a.pt").write_bytes(b"")
    with pytest.raises(NodeError) as caught:
        resolve(files, "loras", "a.pt")
    assert caught.value.code == "ambiguous_name"


@pytest.fixture
def files(session: Session) -> Files:
    return session.files


@pytest.fixture
def folder(home: Path) -> Path:
    folder = home / "models" / "loras"
    (folder / "sub").mkdir(parents=True)
    (home / "store").mkdir()  # where facts are remembered
    return folder


def test_only_files_of_the_same_size_are_hashed(
    files: Files, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a").write_bytes(b"right")
    digest = files.digest(folder / "a")
    (folder / "a").rename(folder / "sub" / "z")
    for name, data in {"b": b"another size", "c": b"wrong"}.items():
        (folder / name).write_bytes(data)
    hashed: list[str] = []
    plain = Files.digest

    def digest_of(self: Files, path: Path) -> str:
        hashed.append(path.name)
        return plain(self, path)

    monkeypatch.setattr(Files, "digest", digest_of)
    assert located(files, "loras", "a", digest) == folder / "sub" / "z"
    assert "b" not in hashed


def test_the_file_with_the_digest_is_taken_and_not_another_of_its_name(files: Files, folder: Path) -> None:
    (folder / "a").write_bytes(b"right")
    digest = files.digest(folder / "a")
    (folder / "a").rename(folder / "sub" / "a")
    (folder / "a").write_bytes(b"wrong")
    assert located(files, "loras", "a", digest) == folder / "sub" / "a"


def test_a_file_outside_the_folders_of_its_kind_is_not_taken(
    files: Files, folder: Path, tmp_path: Path
) -> None:
    (folder / "a").write_bytes(b"right")
    digest = files.digest(folder / "a")
    shutil.move(folder / "a", tmp_path / "a")
    assert files.digest(tmp_path / "a") == digest
    with pytest.raises(NodeError) as caught:
        located(files, "loras", "a", digest)
    assert caught.value.code == "missing_file"


def test_a_file_that_is_gone_is_named_with_its_place_and_digest(files: Files, folder: Path) -> None:
    (folder / "a").write_bytes(b"right")
    digest = files.digest(folder / "a")
    (folder / "a").unlink()
    with pytest.raises(NodeError) as caught:
        located(files, "loras", "a", digest)
    assert caught.value.code == "missing_file"
    assert digest in str(caught.value)
    assert str(folder / "a") in str(caught.value)
    (folder / "a").write_bytes(b"wrong")
    with pytest.raises(NodeError) as caught:
        located(files, "loras", "a", digest)
    assert caught.value.code == "changed_file"
