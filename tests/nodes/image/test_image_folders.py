"""Folders of pictures: loaded as a list, saved by a pattern, and the masks in picture files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as pillow

from engine.errors import NodeError
from engine.events import Warned
from engine.session import Session
from engine.testing import computed, output, run_graph, run_node
from nodes.image.load_image import ListImages, LoadImage, LoadMask
from nodes.image.save_image import SaveImages
from nodes.values import Image, Mask

INVERTED = {
    "safelight": 1,
    "nodes": {
        "load": {"type": "LoadImageFolder", "inputs": {"folder": "shots"}},
        "invert": {"type": "InvertImage", "inputs": {"image": {"from": "load.images"}}},
    },
    "outputs": {"images": {"from": "invert.out"}, "names": {"from": "load.names"}},
}


def grey(level: int, side: int = 8) -> pillow.Image:
    return pillow.new("RGB", (side, side), (level, level, level))


@pytest.fixture
def shots(home: Path) -> Path:
    folder = home / "inputs" / "shots"
    folder.mkdir(parents=True)
    for number in (1, 2, 10):
        grey(number).save(folder / f"shot {number}.png")
    return folder


def levels_of(images: object) -> list[int]:
    assert isinstance(images, list)
    return [int(image.pixels[0, 0, 0, 0]) for image in images]


def test_a_folder_is_a_list_in_the_order_in_which_people_count(session: Session, shots: Path) -> None:
    grey(3).save(shots / "Shot 3.jpg", quality=100)
    (shots / "notes.txt").write_text("no picture")
    (shots / "empty.png").write_bytes(b"")
    (shots / ".hidden.png").write_bytes(b"")
    (shots / "sub").mkdir()
    events: list[Any] = []
    names = run_node(session, ListImages(folder="shots"), emit=events.append)["out"]
    assert names == [f"shots/{name}" for name in ("shot 1.png", "shot 2.png", "Shot 3.jpg", "shot 10.png")]
    (warning,) = [event for event in events if isinstance(event, Warned)]
    assert "empty.png (it is empty)" in warning.message
    assert "notes.txt (its first bytes are not those of a picture format)" in warning.message


def test_only_a_changed_picture_is_computed_again(home: Path, shots: Path) -> None:
    first = run_graph(INVERTED, home=home)
    assert levels_of(output(first, "images")) == [254, 253, 245]
    assert output(first, "names") == ["shots/shot 1.png", "shots/shot 2.png", "shots/shot 10.png"]
    grey(200).save(shots / "shot 2.png")
    second = run_graph(INVERTED, home=home)
    assert levels_of(output(second, "images")) == [254, 55, 245]
    assert {name for name in computed(second) if "[" in name} == {"invert[1]", "load/load[1]"}
    grey(7).save(shots / "shot 1b.png")
    third = run_graph(INVERTED, home=home)
    assert levels_of(output(third, "images")) == [254, 248, 55, 245]
    assert {name for name in computed(third) if "[" in name} == {"invert[1]", "load/load[1]"}


@pytest.mark.parametrize(
    ("folder", "message"),
    [("nowhere", "there is no 'nowhere'"), ("shots/shot 1.png", "is not a folder"), ("bare", "no pictures")],
)
def test_a_folder_without_pictures_is_explained(
    session: Session, shots: Path, folder: str, message: str
) -> None:
    (shots.parent / "bare").mkdir()
    with pytest.raises(NodeError, match=message):
        run_node(session, ListImages(folder=folder))


def test_a_damaged_picture_in_a_folder_is_named(home: Path, shots: Path) -> None:
    (shots / "shot 2.png").write_bytes((shots / "shot 2.png").read_bytes()[:40])
    report = run_graph(INVERTED, home=home)
    problems = [node.problem for node in report.nodes.values() if node.problem is not None]
    assert any("shot 2.png cannot be read as a picture" in problem.message for problem in problems)


def pictures(*levels: int) -> list[Image]:
    return [Image(np.full((1, 8, 16, 3), level, np.uint8)) for level in levels]


def saved(session: Session, **inputs: Any) -> list[str]:
    paths = run_node(session, SaveImages(**inputs))["out"]
    assert isinstance(paths, list)
    outputs = session.files.outputs
    return [Path(path).relative_to(outputs).as_posix() for path in paths]


def level_of(path: Path) -> int:
    with pillow.open(path) as picture:
        return int(np.asarray(picture)[0, 0, 0])


def test_names_follow_the_pattern(session: Session, home: Path) -> None:
    names = ["shots/a.png", "b.tar.gz"]
    for pattern, wanted in (
        ("{name}_{n:04}", ["set/a_0001.png", "set/b.tar_0002.png"]),
        ("{n}-{width}x{height}", ["set/1-16x8.png", "set/2-16x8.png"]),
        ("{name} {batch:02}", ["set/a 01.png", "set/b.tar 01.png"]),
    ):
        assert saved(session, images=pictures(1, 2), folder="set", pattern=pattern, names=names) == wanted
        assert [level_of(home / "outputs" / name) for name in wanted] == [1, 2]


def test_a_batch_counts_through(session: Session) -> None:
    batch = Image(np.zeros((2, 8, 8, 3), np.uint8))
    wanted = ["0007 1.jpg", "0008 2.jpg", "0009 1.jpg"]
    images = [batch, *pictures(5)]
    assert saved(session, images=images, folder="", pattern="{n:04} {batch}", first=7, format="jpg") == wanted


def test_an_existing_file_is_never_replaced_and_never_copied(session: Session, home: Path) -> None:
    folder = home / "outputs" / "pictures"
    once = saved(session, images=pictures(1, 1, 2))
    assert once == [f"pictures/picture_000{n}.png" for n in (1, 2, 3)]
    assert saved(session, images=pictures(1, 1, 2)) == once
    assert saved(session, images=pictures(9, 2)) == ["pictures/picture_0004.png", "pictures/picture_0005.png"]
    assert [level_of(path) for path in sorted(folder.iterdir())] == [1, 1, 2, 9, 2]
    assert saved(session, images=pictures(7), overwrite=True) == ["pictures/picture_0001.png"]
    assert [level_of(path) for path in sorted(folder.iterdir())] == [7, 1, 2, 9, 2]


def test_a_pattern_without_a_number_gets_one_when_a_name_is_taken(session: Session) -> None:
    names = ["a", "a", "b"]
    wanted = ["pictures/a.png", "pictures/a_0002.png", "pictures/b.png"]
    assert saved(session, images=pictures(1, 1, 1), pattern="{name}", names=names) == wanted
    assert saved(session, images=pictures(4), pattern="{name}", names=["a"]) == ["pictures/a_0003.png"]


@pytest.mark.parametrize(
    ("inputs", "input"),
    [
        ({"pattern": "{seed}"}, "pattern"),
        ({"pattern": "{name"}, "pattern"),
        ({"pattern": "{name.__class__}"}, "pattern"),
        ({"pattern": "sub/{n}"}, "pattern"),
        ({"pattern": " "}, "pattern"),
        ({"names": ["one", "two"]}, "names"),
    ],
)
def test_a_pattern_that_means_nothing_is_explained(
    session: Session, home: Path, inputs: dict[str, Any], input: str
) -> None:
    with pytest.raises(NodeError) as caught:
        run_node(session, SaveImages(images=pictures(1), **inputs))
    assert (caught.value.input, caught.value.hint is not None) == (input, True)
    assert not (home / "outputs" / "pictures").exists()


@pytest.mark.parametrize("folder", ["../other", "/tmp/other", "a/../../b"])
def test_save_images_cannot_leave_the_outputs_folder(session: Session, folder: str) -> None:
    with pytest.raises(NodeError, match="outside the outputs folder"):
        run_node(session, SaveImages(images=pictures(1), folder=folder))


@pytest.mark.parametrize("name", ["../../x", 'a<b>:"c"|d?*', "{n}", "\0", ""])
def test_a_name_cannot_lead_anywhere(session: Session, home: Path, name: str) -> None:
    (path,) = saved(session, images=pictures(1), names=[name], folder="set")
    assert (home / "outputs" / path).parent == home / "outputs" / "set"


@pytest.fixture
def cut_out(home: Path) -> Path:
    """A picture that is red and fades to transparent, 256 x 1."""
    ramp = np.zeros((1, 256, 4), np.uint8)
    ramp[..., 0], ramp[..., 3] = 255, np.arange(256)
    path = home / "inputs" / "cut out.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    pillow.fromarray(ramp).save(path)
    return path


def test_a_picture_brings_its_transparency_as_a_mask(session: Session, cut_out: Path) -> None:
    ramp = np.arange(256, dtype=np.float32) / np.float32(255)
    loaded = run_node(session, LoadImage(image=cut_out.name, transparent="keep"))
    assert isinstance(loaded["out"], Image)
    assert isinstance(loaded["alpha"], Mask)
    assert np.array_equal(loaded["alpha"].levels, ramp[None, None])
    assert np.unique(loaded["out"].pixels.reshape(-1, 3), axis=0).tolist() == [[255, 0, 0]]
    over_white = run_node(session, LoadImage(image=cut_out.name))
    assert isinstance(over_white["out"], Image)
    assert over_white["out"].pixels[0, 0, [0, 255]].tolist() == [[255, 255, 255], [255, 0, 0]]


def test_a_picture_without_transparency_is_opaque(session: Session, shots: Path) -> None:
    loaded = run_node(session, LoadImage(image="shots/shot 1.png"))["alpha"]
    assert isinstance(loaded, Mask)
    assert np.array_equal(loaded.levels, np.ones((1, 8, 8)))


@pytest.mark.parametrize(
    ("channel", "level"), [("red", 1.0), ("green", 0.0), ("luminance", 0.2126), ("alpha", 64 / 255)]
)
def test_a_mask_is_one_channel_of_a_file(session: Session, home: Path, channel: Any, level: float) -> None:
    (home / "inputs").mkdir(parents=True, exist_ok=True)
    picture = np.full((2, 2, 4), (255, 0, 0, 255), np.uint8)
    picture[0, 0] = (0, 0, 0, 64) if channel == "alpha" else (255, 0, 0, 255)
    pillow.fromarray(picture).save(home / "inputs" / "mask.png")
    mask = run_node(session, LoadMask(image="mask.png", channel=channel))["out"]
    assert isinstance(mask, Mask)
    assert mask.levels[0, 0, 0] == pytest.approx(level, abs=1e-6)


def test_a_graph_may_save_a_mask(home: Path, cut_out: Path) -> None:
    graph = {
        "safelight": 1,
        "nodes": {"load": {"type": "LoadImage", "inputs": {"image": cut_out.name}}},
        "outputs": {"alpha": {"from": "load.alpha"}},
    }
    first, second = run_graph(graph, home=home), run_graph(graph, home=home)
    assert computed(second) == set()
    a, b = output(first, "alpha"), output(second, "alpha")
    assert isinstance(a, Mask)
    assert isinstance(b, Mask)
    assert np.array_equal(a.levels, b.levels)
    assert json.dumps(second.outputs["alpha"].meta) == '{"summary": "256 x 1, 50 % on"}'
