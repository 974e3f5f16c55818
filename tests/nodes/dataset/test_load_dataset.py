"""LoadDataset: which pictures and captions a folder gives, and when it is read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as pillow

from engine.document.graph import Entry, From, Graph, Literal
from engine.errors import NodeError
from engine.events import Event
from engine.session import Session
from engine.testing import run_node
from nodes.dataset.load_dataset import LoadDataset
from nodes.values import Dataset
from tests.nodes.conftest import ran, warnings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "pictures"
    place.mkdir()
    return place


def draw(path: Path, colour: tuple[int, ...] = (200, 30, 30), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pillow.new(mode, (16, 8), colour).save(path)
    return path


def loaded(session: Session, folder: Path, **inputs: Any) -> tuple[Dataset, list[str]]:
    events: list[Event] = []
    dataset = run_node(session, LoadDataset(folder=str(folder), **inputs), emit=events.append)["out"]
    assert isinstance(dataset, Dataset)
    return dataset, warnings(events)


def captions(dataset: Dataset) -> dict[str, tuple[str, str]]:
    return {picture.name: (picture.caption, picture.caption_source) for picture in dataset.pictures}


def test_a_caption_is_the_first_that_exists(session: Session, folder: Path) -> None:
    for name in ("1 a.png", "2 b.png", "3 c.png", "4 d.png", "5 e.png"):
        draw(folder / name)
    (folder / "1 a.txt").write_text("  from the text file, verbatim\n")
    (folder / "1 a.caption").write_text("unused")
    (folder / "2 b.caption").write_text("from kohya's file")
    (folder / "metadata.jsonl").write_text(
        '{"file_name": "1 a.png", "text": "unused", "artist": "Ada"}\n'
        '{"file_name": "3 c.png", "text": "from the line"}\n{"file_name": "4 d.png", "text": ""}\n'
    )
    dataset, _ = loaded(session, folder)
    assert captions(dataset) == {
        "1 a.png": ("  from the text file, verbatim\n", "txt"),
        "2 b.png": ("from kohya's file", "caption"),
        "3 c.png": ("from the line", "jsonl"),
        "4 d.png": ("", "jsonl"),
        "5 e.png": ("e", "file name"),
    }
    assert dataset.pictures[0].columns == {"artist": "Ada"}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("files", ("x", "txt")),
        ("jsonl", ("y", "jsonl")),
        ("names", ("a, man", "file name")),
        ("none", ("", "")),
    ],
)
def test_captions_of_one_kind_only(
    session: Session, folder: Path, kind: str, expected: tuple[str, str]
) -> None:
    draw(folder / "01-a man.png")
    (folder / "01-a man.txt").write_text("x")
    (folder / "metadata.jsonl").write_text('{"file_name": "01-a man.png", "text": "y"}')
    dataset, _ = loaded(session, folder, captions=kind, word_regex=r"\w+", join=", ")
    assert captions(dataset) == {"01-a man.png": expected}


def test_sub_folders_are_read_and_become_a_column(session: Session, folder: Path) -> None:
    draw(folder / "a.png")
    draw(folder / "cats" / "old" / "b.png")
    (folder / "cats" / "metadata.jsonl").write_text('{"file_name": "old/b.png", "text": "an old cat"}')
    draw(folder / ".hidden" / "c.png")
    dataset, _ = loaded(session, folder)
    assert captions(dataset) == {"a.png": ("a", "file name"), "cats/old/b.png": ("an old cat", "jsonl")}
    assert dataset.pictures[1].columns == {"folder": "cats/old"}
    assert [picture.name for picture in loaded(session, folder, subfolders=False)[0].pictures] == ["a.png"]


def test_files_that_are_not_pictures_are_left_out_with_a_warning(session: Session, folder: Path) -> None:
    draw(folder / "a.png")
    (folder / "b.png").write_text("this is text")
    (folder / "c.jpg").write_bytes(b"")
    dataset, warned = loaded(session, folder)
    assert list(captions(dataset)) == ["a.png"]
    assert len(warned) == 2
    assert all(name in text for name, text in zip(["b.png", "c.jpg"], warned, strict=True))


def test_a_folder_without_pictures_is_refused(session: Session, folder: Path) -> None:
    (folder / "b.png").write_text("this is text")
    with pytest.raises(NodeError, match=r"no pictures.*b\.png") as caught:
        loaded(session, folder)
    assert (caught.value.code, caught.value.input) == ("empty_dataset", "folder")
    with pytest.raises(NodeError) as caught:
        loaded(session, folder / "nowhere")
    assert (caught.value.code, caught.value.input) == ("missing_file", "folder")


def test_a_mask_belongs_to_its_picture(session: Session, folder: Path) -> None:
    draw(folder / "a.png")
    draw(folder / "a-masklabel.png", (255, 255, 255))
    draw(folder / "b.webp")
    draw(folder / "b.mask.png", (0, 0, 0))
    draw(folder / "c.png", (0, 0, 0, 51), "RGBA")
    dataset, _ = loaded(session, folder)
    assert list(captions(dataset)) == ["a.png", "b.webp", "c.png"]
    masks = [dataset.mask(session.files, picture) for picture in dataset.pictures]
    assert [None if mask is None else mask.getpixel((0, 0)) for mask in masks] == [255, 0, 51]


def test_a_second_mask_of_a_picture_is_left_out(session: Session, folder: Path) -> None:
    for name in ("a.png", "a-masklabel.png", "a.mask.png", "a.mask.tif"):
        draw(folder / name)
    dataset, warned = loaded(session, folder)
    assert list(captions(dataset)) == ["a.png"]
    assert dataset.pictures[0].mask is not None
    assert dataset.pictures[0].mask.name == "a-masklabel.png"
    assert [file.name for file in dataset.left_out] == ["a.mask.png", "a.mask.tif"]
    assert warned


def test_pictures_are_read_as_a_viewer_shows_them(session: Session, folder: Path) -> None:
    pixels = np.zeros((2, 4, 3), np.uint8)
    pixels[:, 0] = 255
    exif = pillow.Exif()
    exif[0x0112] = 3  # turned by half
    pillow.fromarray(pixels).save(folder / "turned.png", exif=exif)
    draw(folder / "grey.png", (7,), "L")
    dataset, _ = loaded(session, folder)
    grey, turned = (np.asarray(dataset.open(session.files, picture)) for picture in dataset.pictures)
    assert grey.shape == (8, 16, 3)
    assert (turned == pixels[:, ::-1]).all()


def test_a_picture_that_changes_later_is_noticed(session: Session, folder: Path) -> None:
    path = draw(folder / "a.png")
    dataset, _ = loaded(session, folder)
    draw(path, (0, 0, 255))
    with pytest.raises(NodeError, match="changed after") as caught:
        dataset.open(session.files, dataset.pictures[0])
    assert caught.value.code == "changed_file"
    path.rename(folder / "elsewhere.png")
    with pytest.raises(NodeError, match="is missing"):
        dataset.open(session.files, dataset.pictures[0])


def test_each_change_in_the_folder_gives_a_new_dataset(session: Session, folder: Path) -> None:
    graph = Graph(
        nodes={"load": Entry("LoadDataset@2", {"folder": Literal(str(folder))})},
        outputs={"dataset": From("load", "out")},
    )

    def runs() -> bool:
        report = session.run(graph)
        assert report.state == "done"
        return ran(report) == {"load"}

    draw(folder / "a.png")
    assert runs()
    assert not runs()
    (folder / "notes.md").write_text("no part of the dataset")
    assert not runs()
    (folder / "a.txt").write_text("a caption")
    assert runs()
    draw(folder / "a.png", (1, 2, 3))
    assert runs()
    draw(folder / "b.png")
    assert runs()
    (folder / "b.png").unlink()
    assert not runs()  # the folder is again as it was
