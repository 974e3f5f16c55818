"""EditCaptions, SetCaptions and AugmentDataset."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from engine.errors import NodeError
from engine.events import Event
from engine.session import Session
from engine.testing import run_node
from engine.values import Json
from nodes.dataset.augment_dataset import AugmentDataset
from nodes.dataset.captions import EditCaptions, SetCaptions
from nodes.picture_sets.dataset import CaptionSource, DatasetFile, DatasetPicture
from nodes.picture_sets.edits import Augment, Mirror, Resize
from nodes.picture_sets.tags import TagChanges
from nodes.values import Dataset
from tests.nodes.conftest import warnings


def dataset(*captions: str, source: CaptionSource = "txt", **columns: Json) -> Dataset:
    return Dataset(
        tuple(
            DatasetPicture(DatasetFile("x", f"{n}.png", f"{n:064}"), caption, source, columns)
            for n, caption in enumerate(captions)
        )
    )


def edited(session: Session, before: Dataset, **inputs: Any) -> list[str]:
    after: Any = run_node(session, EditCaptions(dataset=before, **inputs))["out"]
    return [picture.caption for picture in after.pictures]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({}, "a photo, of a.b"),
        ({"find": "a", "replace": "x"}, "x photo, of x.b"),
        ({"find": r"a(.)b", "replace": r"\1\1", "regex": True}, "a photo, of .."),
        ({"find": "a.b", "replace": r"\1"}, r"a photo, of \1"),
        ({"remove_tags": "A Photo, none"}, "of a.b"),
        ({"prefix": "by [artist], ", "suffix": " ([year]) [name]"}, "by Ada, a photo, of a.b (1843) [name]"),
        ({"drop_tags": 1.0, "keep_tags": 1, "prefix": "x, "}, "x, a photo"),
        ({"drop_captions": 1.0, "prefix": "x, "}, ""),
    ],
)
def test_captions_are_edited(session: Session, inputs: dict[str, Any], expected: str) -> None:
    assert edited(session, dataset("a photo, of a.b", artist="Ada", year=1843), **inputs) == [expected]


def test_shuffling_and_dropping_depend_on_the_picture_and_the_seed(session: Session) -> None:
    tags = ", ".join("abcdefgh")
    before = dataset(*[tags] * 40)
    settings: dict[str, Any] = {"shuffle_tags": True, "drop_tags": 0.25, "keep_tags": 2}
    first = edited(session, before, **settings)
    assert first == edited(session, before, **settings)
    assert first != edited(session, before, seed=1, **settings)
    assert first[30:] == edited(session, Dataset(before.pictures[30:]), **settings)
    assert all(caption.startswith("a, b") for caption in first)
    assert len(set(first)) > 30
    kept = sum(len(caption.split(", ")) - 2 for caption in first)
    assert kept == pytest.approx(40 * 6 * 0.75, abs=25)
    dropped = edited(session, before, drop_captions=0.5).count("")
    assert 10 < dropped < 30


def test_tags_change_as_in_kohya() -> None:
    """The order of sd-scripts: strip, keep the first, shuffle the others, drop each, join by `, `."""
    changes = TagChanges(keep=1, drop=0.5, shuffle=True)
    found = changes.applied("one ,two,three,  four,five", random.Random(3))
    rng = random.Random(3)
    flexible = ["two", "three", "four", "five"]
    rng.shuffle(flexible)
    assert found == ", ".join(["one", *(tag for tag in flexible if rng.random() >= 0.5)])
    assert TagChanges().applied(" a ,b", rng) == " a ,b"


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({"find": "[a", "regex": True}, "bad_regex"),
        ({"find": "(a|aa)+$", "regex": True}, "slow_regex"),
        ({"find": "b", "replace": r"\7", "regex": True}, "bad_regex"),
        ({"find": "a", "replace": "x" * 1000}, "too_long"),
    ],
)
def test_unusable_edits_are_refused(session: Session, inputs: dict[str, Any], code: str) -> None:
    with pytest.raises(NodeError) as caught:
        edited(session, dataset("a" * 60 + "b"), **inputs)
    assert caught.value.code == code


def test_an_unknown_column_gives_a_warning(session: Session) -> None:
    events: list[Event] = []
    node = EditCaptions(dataset=dataset("a", artist="Ada"), prefix="[artist] [period] ")
    after: Any = run_node(session, node, emit=events.append)["out"]
    assert after.pictures[0].caption == "Ada  a"
    assert after.pictures[0].caption_source == "edited"
    assert len(warnings(events)) == 1


@pytest.mark.parametrize(
    ("existing", "source", "expected"),
    [
        ("replace", "txt", "new"),
        ("keep", "txt", "old"),
        ("prepend", "jsonl", "new, old"),
        ("append", "edited", "old, new"),
        ("keep", "file name", "new"),
        ("append", "file name", "new"),
    ],
)
def test_new_captions_meet_existing_ones(
    session: Session, existing: str, source: CaptionSource, expected: str
) -> None:
    before = dataset("old", "", source=source)
    node = SetCaptions(dataset=before, captions=["new", "other"], existing=existing)  # type: ignore[arg-type]
    after: Any = run_node(session, node)["out"]
    assert [picture.caption for picture in after.pictures] == [expected, "other"]
    with pytest.raises(NodeError) as caught:
        run_node(session, SetCaptions(dataset=before, captions=["one"]))
    assert (caught.value.code, caught.value.input) == ("wrong_count", "captions")


def test_captions_by_name_stay_with_their_pictures(session: Session) -> None:
    """A picture that is added at the front shifts nothing; the caption by name counts before the list."""
    before = dataset("old", "old", "old")
    by_name = {"1.png": 'a "quoted"\n<b>🦊</b>', "2.png": ""}
    events: list[Event] = []

    def captions(pictures: Dataset, **inputs: Any) -> list[str]:
        node = SetCaptions(dataset=pictures, by_name=by_name, **inputs)
        after: Any = run_node(session, node, emit=events.append)["out"]
        assert [picture.file for picture in after.pictures] == [picture.file for picture in pictures.pictures]
        return [picture.caption for picture in after.pictures]

    assert captions(before) == ["old", 'a "quoted"\n<b>🦊</b>', ""]
    assert captions(before, captions=["x", "y", "z"]) == ["x", 'a "quoted"\n<b>🦊</b>', ""]
    assert warnings(events) == []
    assert captions(Dataset(before.pictures[1:])) == ['a "quoted"\n<b>🦊</b>', ""]
    added = DatasetPicture(DatasetFile("x", "0-new.png", f"{9:064}"), "new", "txt")
    assert captions(Dataset((added, *before.pictures)))[:3] == ["new", "old", 'a "quoted"\n<b>🦊</b>']


def test_names_that_are_missing_or_shared_are_named(session: Session) -> None:
    events: list[Event] = []
    before = dataset("a", "b")
    twin = DatasetPicture(DatasetFile("y", "1.png", f"{7:064}"), "c")
    both = Dataset((*before.pictures, twin))
    node = SetCaptions(dataset=both, by_name={"1.png": "x", "gone.png": "y", "sub/0.png": "z"})
    after: Any = run_node(session, node, emit=events.append)["out"]
    assert [picture.caption for picture in after.pictures] == ["a", "x", "x"]
    missing, shared = warnings(events)
    assert "gone.png, sub/0.png" in missing
    assert "1.png" in shared
    copies = replace(before.pictures[1], edits=(Mirror("horizontal"),))
    events.clear()
    mirrored = Dataset((*before.pictures, copies))
    run_node(session, SetCaptions(dataset=mirrored, by_name={"1.png": "x"}), emit=events.append)
    assert warnings(events) == [], "copies of one file are not different pictures"


def augmented(session: Session, before: Dataset, **inputs: Any) -> Dataset:
    after: Any = run_node(session, AugmentDataset(dataset=before, **inputs))["out"]
    assert isinstance(after, Dataset)
    return after


def test_augmented_copies_stay_within_their_limits(session: Session) -> None:
    before = dataset(*["a"] * 20)
    assert augmented(session, before, copies=3) == before
    after = augmented(
        session, before, copies=3, rotation=10, zoom=0.2, contrast=0.5, mirrored=True, keep_originals=False
    )
    assert len(after) == 60
    augments = [picture.edits[0] for picture in after.pictures]
    assert len(set(augments)) == 60
    for augment in augments:
        assert isinstance(augment, Augment)
        assert abs(augment.angle) <= 10
        assert 1 <= augment.zoom <= 1.2
        assert 0.5 <= augment.contrast <= 1.5
        assert (augment.brightness, augment.saturation, augment.hue) == (1, 1, 0)
    counts = Counter(Mirror("horizontal") in picture.edits for picture in after.pictures)
    assert 15 <= counts[True] <= 45


def test_a_copy_depends_on_its_picture_and_the_seed_only(session: Session) -> None:
    before = dataset("a", "b", "c")
    after = augmented(session, before, rotation=10, copies=2)
    assert [picture.caption for picture in after.pictures] == list("aaabbbccc")
    assert after.pictures[0::3] == before.pictures
    assert (
        augmented(session, Dataset(before.pictures[1:]), rotation=10, copies=2).pictures == after.pictures[3:]
    )
    assert augmented(session, before, rotation=10, copies=2, seed=1) != after
    other = augmented(session, before, rotation=10, zoom=0.5, copies=2).pictures[1].edits[0]
    mine = after.pictures[1].edits[0]
    assert isinstance(other, Augment)
    assert isinstance(mine, Augment)
    assert other.angle == mine.angle
    resized = Dataset((DatasetPicture(before.pictures[0].file, edits=(Resize(8, 8),)),))
    assert augmented(session, resized, rotation=10).pictures[1].edits[0] == Resize(8, 8)
