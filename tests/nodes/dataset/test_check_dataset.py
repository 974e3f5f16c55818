"""CheckDataset: which pictures have problems, which are excluded, and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from PIL import Image as pillow
from PIL import ImageOps

from engine import settings
from engine.events import Event
from engine.session import Session
from engine.testing import run_node
from nodes.dataset.check_dataset import CheckDataset, CheckedDataset
from nodes.dataset.load_dataset import LoadDataset
from nodes.dataset.preprocess import Preprocess
from nodes.picture_sets import looks
from nodes.picture_sets.contact_sheet import Cell, draw_sheet
from nodes.values import Dataset
from tests.nodes.conftest import GRAPHS, warnings
from tests.nodes.pixels.test_perceptual_hash import clouds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "data"
    place.mkdir()
    for seed in range(3):
        clouds(seed).save(place / f"{seed} clouds.png")
    return place


def dataset_of(session: Session, folder: Path, **inputs: Any) -> Dataset:
    dataset = run_node(session, LoadDataset(folder=str(folder), **inputs))["out"]
    assert isinstance(dataset, Dataset)
    return dataset


def checked(session: Session, dataset: Dataset, **inputs: Any) -> CheckedDataset:
    outputs: Any = run_node(session, CheckDataset(dataset=dataset, **{"smallest_side": 100, **inputs}))
    return CheckedDataset(**outputs)


def kinds(result: CheckedDataset) -> dict[str, list[str]]:
    rows = result.report["files"]
    return {row["file"]: [problem["kind"] for problem in row["problems"]] for row in rows}


def names(dataset: Dataset) -> list[str]:
    return [picture.name for picture in dataset.pictures]


def test_duplicates_are_excluded_and_the_largest_stays(session: Session, folder: Path) -> None:
    picture = clouds(1)
    picture.save(folder / "a.bmp")  # the same pixels in another format
    clouds(2).resize((150, 100)).save(folder / "0.jpg", quality=50)  # smaller, and the first by name
    clouds(0, 240, 160).save(folder / "large.png")
    ImageOps.mirror(picture).save(folder / "m.png")
    result = checked(session, dataset_of(session, folder))
    assert kinds(result) == {
        "0.jpg": ["no_caption", "near_duplicate"],
        "0 clouds.png": ["near_duplicate"],
        "a.bmp": ["duplicate"],
        "m.png": ["mirrored_copy"],
    }
    assert names(result.dataset) == ["1 clouds.png", "2 clouds.png", "large.png", "m.png"]
    assert sorted(names(result.excluded)) == ["0 clouds.png", "0.jpg", "a.bmp"]
    assert result.dataset.pictures[-1].flags == ("mirrored_copy",)
    assert len(list(folder.iterdir())) == 7


def test_each_check_may_exclude_report_or_ignore(session: Session, folder: Path) -> None:
    clouds(1).save(folder / "a.bmp")
    clouds(5, 60, 50).save(folder / "tiny.png")
    dataset = dataset_of(session, folder, captions="none")
    every = ("duplicates", "near_duplicates", "mirrored_copies", "small_pictures", "missing_captions")
    assert kinds(checked(session, dataset, **dict.fromkeys(every, "ignore"))) == {}
    reported = checked(session, dataset, **dict.fromkeys(every, "report"))
    assert kinds(reported)["tiny.png"] == ["small", "no_caption"]
    assert kinds(reported)["a.bmp"] == ["no_caption", "duplicate"]
    assert len(reported.dataset) == 5
    small = checked(session, dataset, small_pictures="exclude", missing_captions="ignore")
    assert names(small.excluded) == ["a.bmp", "tiny.png"]


def test_files_that_cannot_be_read_are_excluded(session: Session, folder: Path) -> None:
    whole = (folder / "0 clouds.png").read_bytes()
    (folder / "torn.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("this is text")
    pillow.fromarray(np.full((8, 8), np.nan, np.float32)).save(folder / "1 clouds-masklabel.tiff")
    result = checked(session, dataset_of(session, folder))
    assert kinds(result) == {
        "1 clouds.png": ["unreadable_mask"],
        "torn.png": ["unreadable"],
        "text.png": ["unreadable"],
    }
    assert names(result.dataset) == ["0 clouds.png", "2 clouds.png"]
    assert (result.report["pictures"], result.report["kept"]) == (5, 2)


def test_flat_drawings_are_not_taken_for_duplicates(session: Session) -> None:
    result = checked(session, dataset_of(session, GRAPHS / "hearts"), mirrored_copies="exclude")
    assert result.report["problems"] == {}


def test_pictures_made_from_one_file_stay_together(session: Session, folder: Path) -> None:
    clouds(1).save(folder / "a.bmp")
    dataset = dataset_of(session, folder)
    variants: list[Dataset] = []
    for picture in dataset.pictures:
        node = Preprocess(dataset=Dataset((picture,)), width=64, height=64, mirrored=True)
        variants.append(run_node(session, node)["out"])  # type: ignore[arg-type]
    whole = Dataset(tuple(picture for variant in variants for picture in variant.pictures))
    result = checked(session, whole)
    assert kinds(result) == {"a.bmp": ["duplicate"]}
    assert (len(result.dataset), len(result.excluded)) == (6, 2)


def test_a_file_is_read_once_for_all_runs(session: Session, home: Path, folder: Path) -> None:
    settings.load(home).store_folder.mkdir(parents=True)  # where the numbers are kept
    dataset = dataset_of(session, folder)
    first = checked(session, dataset)
    with mock.patch.object(looks, "_described", side_effect=AssertionError):
        assert checked(session, dataset, near_bits=2).report == first.report


def test_a_dataset_of_which_nothing_stays_gives_a_warning(session: Session, folder: Path) -> None:
    events: list[Event] = []
    node = CheckDataset(dataset=dataset_of(session, folder), small_pictures="exclude", smallest_side=5000)
    outputs: Any = run_node(session, node, emit=events.append)
    assert len(outputs["dataset"]) == 0
    assert len(warnings(events)) == 1
    assert len(run_node(session, CheckDataset(dataset=Dataset(())))) == 4


def test_the_sheet_shows_problems_first_and_at_most_so_many(session: Session, folder: Path) -> None:
    clouds(7, 40, 30).save(folder / "x.png")
    dataset = dataset_of(session, folder)
    whole, part = (checked(session, dataset, most_shown=n).sheet.pixels for n in (60, 1))
    assert whole.shape[2] > part.shape[2]
    shown = part[0, :, : part.shape[2] // 3]
    assert (shown == (222, 158, 40)).all(axis=-1).any()  # the yellow bar of the small picture
    assert not (shown == (70, 150, 95)).all(axis=-1).any()


def test_a_sheet_takes_any_name() -> None:
    strange = "a\nb\udcff \u0000" + "x" * 500
    cells = [Cell(None, strange, [strange, "", "word " * 100]), Cell(pillow.new("RGB", (3000, 1)), "wide")]
    sheet = draw_sheet(strange, "", cells)
    assert sheet.width < 1200
    assert draw_sheet("none", "", []).height > 0
