"""SaveDataset: what is written, that nothing is overwritten, and failures on the way."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as pillow

from engine import failpoints, settings
from engine.errors import NodeError
from engine.failpoints import Fault
from engine.session import Session
from engine.testing import run_node
from nodes.dataset.load_dataset import LoadDataset
from nodes.dataset.save_dataset import SaveDataset
from nodes.picture_sets.dataset import DatasetPicture
from nodes.picture_sets.edits import Mirror, Resize
from nodes.values import Dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "data"
    (place / "cats").mkdir(parents=True)
    for number, name in enumerate(("a.png", "cats/1-b.png")):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 12, 3), np.uint8)
        pillow.fromarray(pixels).save(place / name)
    (place / "a.txt").write_text("a cat: <one>/two")
    pillow.new("L", (12, 8), 255).save(place / "a-masklabel.png")
    return place


def loaded(session: Session, folder: Path | str, **inputs: Any) -> Dataset:
    dataset = run_node(session, LoadDataset(folder=str(folder), **inputs))["out"]
    assert isinstance(dataset, Dataset)
    return dataset


def saved(session: Session, dataset: Dataset, **inputs: Any) -> Path:
    path = run_node(session, SaveDataset(dataset=dataset, **inputs))["out"]
    assert isinstance(path, str)
    return Path(path)


def files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def with_variants(dataset: Dataset) -> Dataset:
    pictures = [
        DatasetPicture(one.file, one.caption, one.caption_source, one.columns, one.mask, edits)
        for one in dataset.pictures
        for edits in ((Resize(6, 4),), (Resize(6, 4), Mirror("horizontal")))
    ]
    return Dataset(tuple(pictures))


@pytest.mark.parametrize("captions", ["txt", "jsonl"])
def test_a_saved_dataset_is_loaded_as_it_was(session: Session, folder: Path, captions: str) -> None:
    dataset = with_variants(loaded(session, folder))
    path = saved(session, dataset, captions=captions)
    assert path == session.files.outputs / "dataset"
    again = loaded(session, path)
    assert [picture.name for picture in again.pictures] == [
        "00000-0-a.png",
        "00000-1-a.png",
        "00001-0-1-b.png",
        "00001-1-1-b.png",
    ]
    for before, after in zip(dataset.pictures, again.pictures, strict=True):
        assert after.caption == before.caption
        assert after.columns == before.columns
        pixels = [
            np.asarray(data.open(session.files, one)) for data, one in ((dataset, before), (again, after))
        ]
        assert np.array_equal(pixels[0], pixels[1])
        masks = [data.mask(session.files, one) for data, one in ((dataset, before), (again, after))]
        assert (masks[0] is None) == (masks[1] is None)
    assert again.pictures[2].columns == {"folder": "cats"}


def test_a_caption_may_be_the_file_name(session: Session, folder: Path) -> None:
    path = saved(
        session, loaded(session, folder), names="caption", captions="none", masks=False, format="jpg"
    )
    assert sorted(files(path)) == [
        ".safelight-dataset.json",
        "00000-0-a cat_ _one_two.jpg",
        "00001-0-b.jpg",
        "metadata.jsonl",
    ]
    assert [one.caption for one in loaded(session, path).pictures] == ["a cat_ _one_two", "b"]


def test_nothing_is_overwritten_and_the_same_dataset_is_written_once(session: Session, folder: Path) -> None:
    dataset = loaded(session, folder)
    first = saved(session, dataset)
    before = files(first)
    times = {file: file.stat().st_mtime_ns for file in first.iterdir()}
    assert saved(session, dataset) == first
    assert {file: file.stat().st_mtime_ns for file in first.iterdir()} == times
    second = saved(session, with_variants(dataset))
    assert second.name == "dataset_0002"
    assert files(first) == before
    assert saved(session, with_variants(dataset)) == second
    (first / "00000-0-a.txt").write_text("changed by hand")
    assert saved(session, dataset).name == "dataset_0003"
    assert (first / "00000-0-a.txt").read_text() == "changed by hand"


def test_a_dataset_does_not_overwrite_its_source(session: Session, folder: Path) -> None:
    path = saved(session, loaded(session, folder), folder="mine/first")
    again = loaded(session, path)
    for name in ("mine/first", "mine/first/inside"):
        with pytest.raises(NodeError) as caught:
            saved(session, again, folder=name)
        assert (caught.value.code, caught.value.input) == ("own_source", "folder")
    for name in ("../x", "/tmp/x", ""):
        with pytest.raises(NodeError) as caught:
            saved(session, again, folder=name)
        assert caught.value.code == "bad_name"
    with pytest.raises(NodeError) as caught:
        saved(session, Dataset(()))
    assert caught.value.code == "empty_dataset"


@pytest.mark.parametrize("nth", [1, 3, 5])
def test_a_full_disk_leaves_no_folder(session: Session, folder: Path, nth: int) -> None:
    dataset = loaded(session, folder)
    failpoints.arm(Fault("file.write", nth, "ENOSPC"))
    try:
        with pytest.raises(NodeError) as caught:
            saved(session, dataset)
    finally:
        failpoints.disarm()
    assert (caught.value.code, caught.value.input) == ("unwritable", "folder")
    assert list(session.files.outputs.iterdir()) == []
    assert saved(session, dataset).name == "dataset"


def test_drafts_of_killed_processes_are_removed(session: Session, folder: Path) -> None:
    outputs = session.files.outputs
    old, new, other = (outputs / name for name in (f".{'a' * 32}.part", f".{'b' * 32}.part", ".mine.part"))
    for draft in (old, new, other):
        draft.mkdir(parents=True)
        (draft / "1.png").write_text("x")
    for draft in (old, other):
        os.utime(draft, (0, 0))
    saved(session, loaded(session, folder))
    assert [draft.exists() for draft in (old, new, other)] == [False, True, True]


def _save(home: Path, folder: Path, seed: int) -> None:
    with Session(settings.load(home, device="cpu")) as session:
        dataset = loaded(session, folder)
        saved(session, dataset, captions="none" if seed else "txt")


def test_processes_may_write_the_same_folder(home: Path, folder: Path) -> None:
    """Of four processes with two datasets, two write, and the others use what they wrote."""
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_save, args=(home, folder, number % 2)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    outputs = home / "outputs"
    assert sorted(path.name for path in outputs.iterdir()) == ["dataset", "dataset_0002"]
    for path in outputs.iterdir():
        manifest = json.loads((path / ".safelight-dataset.json").read_text())
        assert set(files(path)) == {*manifest["files"], ".safelight-dataset.json"}


@pytest.mark.parametrize(
    "name", ["a:b.png", "a\\b.png", "é ü 猫.png", "new\nline.png", "~x $HOME.png", "x" * 240 + ".png"]
)
def test_names_with_odd_characters(session: Session, folder: Path, name: str) -> None:
    (folder / "a-masklabel.png").unlink()
    (folder / "a.png").rename(folder / name)
    dataset = loaded(session, folder)
    assert [one.name for one in dataset.pictures if "/" not in one.name] == [name]
    path = saved(session, dataset)
    assert len(loaded(session, path)) == 2


def test_a_name_that_is_not_utf_8(session: Session, folder: Path) -> None:
    (folder / "a-masklabel.png").unlink()
    (folder / "a.png").rename(os.fsdecode(os.fsencode(folder) + b"/\xff.png"))
    path = saved(session, loaded(session, folder))
    assert sorted(one.caption for one in loaded(session, path).pictures) == ["?", "b"]
