"""Preprocess: what becomes of the pictures of a dataset, and what runs again after a change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as pillow

from engine.document.graph import Entry, From, Graph, Literal
from engine.errors import NodeError
from engine.events import Event
from engine.run.report import Report
from engine.session import Session
from engine.testing import computed, run_node
from nodes.dataset.dataset_parts import EachPicture, GatherPictures, JoinDatasets
from nodes.dataset.load_dataset import LoadDataset
from nodes.dataset.preprocess import Preprocess
from nodes.values import Dataset
from tests.nodes.conftest import output, warnings


def draw(path: Path, width: int, height: int, seed: int = 0, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, len(mode)), np.uint8)
    pillow.fromarray(pixels, mode).save(path) if mode == "RGBA" else pillow.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A wide, an upright and a square picture."""
    draw(tmp_path / "data" / "1.png", 40, 20, 1)
    draw(tmp_path / "data" / "2.png", 16, 40, 2)
    draw(tmp_path / "data" / "3.png", 24, 24, 3)
    return tmp_path / "data"


def graph(folder: Path, **inputs: Any) -> Graph:
    size = {"width": 16, "height": 16, "smallest_side": 8, "largest_side": 32, "side_step": 8}
    written = {name: Literal(value) for name, value in {**size, **inputs}.items()}
    return Graph(
        nodes={
            "load": Entry("LoadDataset@2", {"folder": Literal(str(folder))}),
            "prepare": Entry("Preprocess@1", {"dataset": From("load", "out"), **written}),
        },
        outputs={"image": From("prepare", "out")},
    )


def prepared(session: Session, folder: Path, **inputs: Any) -> Dataset:
    dataset = output(session.run(graph(folder, **inputs)))
    assert isinstance(dataset, Dataset)
    return dataset


def pixels(session: Session, dataset: Dataset) -> list[Any]:
    return [np.asarray(dataset.open(session.files, picture)) for picture in dataset.pictures]


@pytest.mark.parametrize(
    ("fit", "sizes"),
    [
        ("crop", [(16, 16)] * 3),
        ("stretch", [(16, 16)] * 3),
        ("pad", [(16, 16)] * 3),
        ("buckets", [(16, 16), (8, 24), (16, 16)]),
        ("auto size", [(16, 8), None, (16, 16)]),
        ("keep", [(40, 20), (16, 40), (24, 24)]),
    ],
)
def test_pictures_get_the_size_of_the_mode(
    session: Session, folder: Path, fit: str, sizes: list[tuple[int, int] | None]
) -> None:
    dataset = prepared(session, folder, fit=fit)
    found = [picture.shape[1::-1] for picture in pixels(session, dataset)]
    assert found == [size for size in sizes if size]
    assert len(dataset.left_out) == sizes.count(None)


def test_the_files_stay_and_the_edits_are_in_the_dataset(session: Session, folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    dataset = prepared(session, folder, mirrored=True, mirrored_vertically=True, turned=True)
    first, second, third, fourth = pixels(session, dataset)[:4]
    assert np.array_equal(second, first[:, ::-1])
    assert np.array_equal(third, first[::-1])
    assert np.array_equal(fourth, first[::-1, ::-1])
    assert len(dataset) == 12
    with pillow.open(folder / "1.png") as original:
        wanted = original.resize((32, 16), pillow.Resampling.LANCZOS).crop((8, 0, 24, 16))
    assert np.array_equal(first, np.asarray(wanted))
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_oversized_pictures_become_as_many_pieces_as_a1111_makes(session: Session, folder: Path) -> None:
    dataset = prepared(session, folder, split=True, mirrored=True)
    # 40 x 20 is 32 x 16: ceil((32 - 3.2) / 12.8) = 3 pieces; 16 x 40 has ceil((40 - 3.2) / 12.8) = 3
    assert [picture.name for picture in dataset.pictures] == ["1.png"] * 6 + ["2.png"] * 6 + ["3.png"] * 2
    pieces = pixels(session, dataset)[0:6:2]
    with pillow.open(folder / "1.png") as original:
        whole = np.asarray(original.resize((32, 16), pillow.Resampling.LANCZOS))
    for piece, left in zip(pieces, (0, 8, 16), strict=True):
        assert np.array_equal(piece, whole[:, left : left + 16])


def test_a_focal_crop_follows_the_detail(session: Session, tmp_path: Path) -> None:
    canvas = pillow.new("RGB", (200, 40), "white")
    canvas.paste(pillow.fromarray(np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)), (165, 5))
    (tmp_path / "data").mkdir()
    canvas.save(tmp_path / "data" / "a.png")
    (middle,) = pixels(session, prepared(session, tmp_path / "data", width=40, height=40))
    assert middle.min() == 255
    focal = prepared(session, tmp_path / "data", width=40, height=40, focus="focal point")
    (found,) = pixels(session, focal)
    assert (found < 200).any(axis=-1).sum() > 300


def test_a_mask_is_edited_like_its_picture(session: Session, folder: Path) -> None:
    levels = np.zeros((20, 40), np.uint8)
    levels[:, 20:] = 255
    pillow.fromarray(levels).save(folder / "1-masklabel.png")
    draw(folder / "4.png", 20, 20, 4, "RGBA")
    dataset = prepared(session, folder, mirrored=True, fit="pad")
    masks = [dataset.mask(session.files, picture) for picture in dataset.pictures]
    first, mirrored, *others, alpha, flipped_alpha = [
        None if mask is None else np.asarray(mask) for mask in masks
    ]
    assert first is not None
    assert mirrored is not None
    assert alpha is not None
    assert flipped_alpha is not None
    assert first[4:12, 8:].min() == 255  # 16 x 8, with a border of 4 above and below
    assert first[:4].max() == first[12:].max() == first[:, :8].max() == 0
    assert np.array_equal(mirrored, first[:, ::-1])
    assert np.array_equal(flipped_alpha, alpha[:, ::-1])
    border = others[0]  # the upright picture has no mask, but its borders are masked
    assert border is not None
    assert set(np.unique(border)) == {0, 255}
    assert others[-1] is None  # nor has the square one, which has no border


def test_a_file_that_cannot_be_read_is_left_out(session: Session, folder: Path) -> None:
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[:-200])
    events: list[Event] = []
    report = session.run(graph(folder), emit=events.append)
    dataset = output(report)
    assert [picture.name for picture in dataset.pictures] == ["2.png", "3.png"]
    assert [file.name for file in dataset.left_out] == ["1.png"]
    assert any("1.png" in text for text in warnings(events))


def ran(report: Report) -> set[str]:
    assert report.state == "done"
    return {step for step in computed(report) if "[" in step}


def test_a_changed_picture_runs_again_alone(session: Session, folder: Path) -> None:
    assert len(ran(session.run(graph(folder)))) == 3
    draw(folder / "2.png", 30, 40, 9)
    (step,) = ran(session.run(graph(folder)))
    assert step.endswith("[1]")
    draw(folder / "4.png", 30, 40, 10)
    (step,) = ran(session.run(graph(folder)))
    assert step.endswith("[3]")


def test_datasets_are_split_and_joined(session: Session, folder: Path) -> None:
    (folder / "no.png").write_text("text")
    dataset: Any = run_node(session, LoadDataset(folder=str(folder)))["out"]
    each: Any = run_node(session, EachPicture(dataset=dataset))["out"]
    assert [len(one) for one in each] == [1, 1, 1]
    gathered: Any = run_node(session, GatherPictures(datasets=each))["out"]
    assert gathered.pictures == dataset.pictures
    joined: Any = run_node(session, JoinDatasets(first=dataset, second=gathered))["out"]
    assert joined.pictures == dataset.pictures * 2
    assert [file.name for file in joined.left_out] == ["no.png"]


@pytest.mark.parametrize(
    ("inputs", "input"),
    [
        ({"fit": "pad", "pad_color": "no colour"}, "pad_color"),
        ({"fit": "buckets", "smallest_side": 64, "largest_side": 32}, "smallest_side"),
    ],
)
def test_wrong_settings_are_refused(
    session: Session, folder: Path, inputs: dict[str, Any], input: str
) -> None:
    dataset: Any = run_node(session, LoadDataset(folder=str(folder)))["out"]
    (one, *_) = dataset.pictures
    with pytest.raises(NodeError) as caught:
        run_node(session, Preprocess(dataset=Dataset((one,)), **inputs))
    assert caught.value.input == input
