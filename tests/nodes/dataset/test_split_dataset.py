"""SplitDataset: shares, stability, and pictures that stay together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageOps

from engine.errors import NodeError
from engine.events import Event
from engine.session import Session
from engine.testing import run_node
from nodes.dataset.load_dataset import LoadDataset
from nodes.dataset.split_dataset import SplitDataset, SplitParts
from nodes.picture_sets.dataset import DatasetFile, DatasetPicture
from nodes.picture_sets.edits import Mirror
from nodes.picture_sets.partition import Groups, partition
from nodes.values import Dataset
from tests.nodes.conftest import warnings
from tests.nodes.pixels.test_perceptual_hash import clouds

NAMES = [f"{number:04}.png" for number in range(1000)]


def each(names: list[str]) -> list[list[str]]:
    return [[name] for name in names]


def named(names: list[str]) -> Dataset:
    """A dataset whose files do not exist."""
    return Dataset(tuple(DatasetPicture(DatasetFile("x", name, name * 8)) for name in names))


def split(session: Session, dataset: Dataset, **inputs: Any) -> tuple[SplitParts, list[str]]:
    events: list[Event] = []
    outputs: Any = run_node(session, SplitDataset(dataset=dataset, **inputs), emit=events.append)
    return SplitParts(**outputs), warnings(events)


def names(dataset: Dataset) -> list[str]:
    return [picture.name for picture in dataset.pictures]


def test_the_shares_are_met_on_average() -> None:
    counts = Counter(partition(each(NAMES), validation=0.2, test=0.1, seed=5).parts.values())
    assert counts["validation"] == pytest.approx(200, abs=40)
    assert counts["test"] == pytest.approx(100, abs=30)


def test_a_part_stays_when_pictures_are_added_or_removed() -> None:
    whole = partition(each(NAMES), validation=0.2, test=0.1, seed=5).parts
    fewer = partition(each(NAMES[::7]), validation=0.2, test=0.1, seed=5).parts
    assert all(whole[name] == part for name, part in fewer.items())
    other = partition(each(NAMES), validation=0.2, test=0.1, seed=6).parts
    assert sum(whole[name] != other[name] for name in NAMES) > 200
    wider = partition(each(NAMES), validation=0.3, test=0.1, seed=5).parts
    assert all(wider[name] == "validation" for name, part in whole.items() if part == "validation")


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_small_sets_have_a_picture_in_each_part(seed: int, count: int) -> None:
    found = partition(each(NAMES[:count]), validation=0.2, test=0.2, seed=seed)
    parts = set(found.parts.values())
    assert "train" in parts
    assert len(parts) == min(count, 3)
    assert len(found.moved) <= 2


def test_groups_can_be_joined() -> None:
    groups = Groups("abcdef")
    for one, other in ("ab", "cd", "bd", "ba"):
        groups.join(one, other)
    assert sorted(sorted(group) for group in groups.all()) == [["a", "b", "c", "d"], ["e"], ["f"]]


def test_a_dataset_is_split_in_order(session: Session) -> None:
    dataset = named(NAMES[:50])
    parts, warned = split(session, dataset, test=0.2, keep_alike=False)
    assert warned == []
    together = sorted(name for part in parts for name in names(part))
    assert together == NAMES[:50]
    assert all(names(part) == sorted(names(part)) and len(part) > 3 for part in parts)


def test_a_picture_and_its_flip_stay_together(session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(6):
        picture = clouds(number, 96, 64)
        picture.save(folder / f"{number}.png")
        ImageOps.mirror(picture).save(folder / f"{9 - number} flipped.jpg")
        picture.resize((48, 32)).save(folder / f"z{number} small.png")
    loaded: Any = run_node(session, LoadDataset(folder=str(folder)))["out"]
    flips = tuple(DatasetPicture(picture.file, edits=(Mirror("horizontal"),)) for picture in loaded.pictures)
    dataset = Dataset((*loaded.pictures, *flips))
    for seed in range(5):
        parts, _ = split(session, dataset, validation=0.4, test=0.2, seed=seed)
        where = {name: place for place, part in enumerate(parts) for name in names(part)}
        for number in range(6):
            alike = f"{number}.png", f"{9 - number} flipped.jpg", f"z{number} small.png"
            assert len({where[name] for name in alike}) == 1
        assert sum(map(len, parts)) == 36


def test_unusual_datasets(session: Session) -> None:
    parts, warned = split(session, named(NAMES[:1]), keep_alike=False)
    assert [len(part) for part in parts] == [1, 0, 0]
    assert len(warned) == 1
    parts, warned = split(session, Dataset(()))
    assert [len(part) for part in parts] == [0, 0, 0]
    parts, warned = split(session, named(NAMES[:9]), validation=0.0, keep_alike=False)
    assert [len(part) for part in parts] == [9, 0, 0]
    assert warned == []
    with pytest.raises(NodeError) as caught:
        split(session, named(NAMES[:9]), validation=0.6, test=0.4)
    assert (caught.value.code, caught.value.input) == ("bad_shares", "validation")
