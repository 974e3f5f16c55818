"""The pictures of datasets, listed by the process of the node packs and by the API over it."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine.catalogue.catalogue import Catalogue
from engine.catalogue.datasets import Datasets, upstream
from engine.document.graph import Entry, From, Graph, Literal, Param
from engine.document.run_request import RunRequest
from engine.errors import GraphError
from engine.session import Session

PACK = '''
import time
from engine.context import Context
from engine.devices.recipe import Recipe
from engine.node import Node
from nodes.values import Dataset


class Model(Recipe):
    pass


class Slow(Node):
    """Take a minute."""

    dataset: Dataset

    def run(self, ctx: Context) -> Dataset:
        for _ in ctx.track(range(3000)):
            time.sleep(0.02)
        return self.dataset


class Describe(Node):
    """Use a model."""

    dataset: Dataset

    def run(self, ctx: Context) -> Dataset:
        ctx.use(Model())
        return self.dataset


class Stamp(Node, pure=False):
    """Have a side effect."""

    dataset: Dataset

    def run(self, ctx: Context) -> Dataset:
        raise AssertionError("a view must not run it")
'''


RED, BLACK = (250, 0, 0), (0, 0, 0)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("datasets") / "home"
    (home / "nodes").mkdir(parents=True)
    (home / "nodes" / "slow.py").write_text(PACK)
    pictures = home / "inputs" / "mugs"
    for folder in (pictures, pictures / "more"):
        folder.mkdir(parents=True)
    halves = Image.new("RGB", (96, 48), RED)
    halves.paste(BLACK, (0, 0, 48, 48))
    halves.save(pictures / "1.png")
    rotated = Image.new("RGB", (40, 20), (0, 0, 250))
    exif = rotated.getexif()
    exif[0x0112] = 6
    rotated.save(pictures / "02-a blue mug.jpg", exif=exif)
    Image.new("RGB", (30, 30), (0, 250, 0)).save(pictures / "more" / "1.png")
    (pictures / "1.txt").write_text('a "red" <b>mug</b>\n🦊')
    (pictures / "cut.png").write_bytes((pictures / "1.png").read_bytes()[:20])
    (pictures / "notes.png").write_text("not a picture")
    return home


@pytest.fixture(scope="module")
def catalogue(home: Path) -> Iterator[Catalogue]:
    with (home / "log").open("ab") as log, Catalogue(home, {"local": False}, log=log) as catalogue:
        yield catalogue


def request(folder: str = "mugs", captions: Entry | None = None, **more: Entry) -> RunRequest:
    if captions is not None:
        more["captions"] = captions
    load = Entry("LoadDataset@2", {"folder": Literal(folder)})
    return RunRequest(Graph({"load": load, **more}, title="mugs"), name="mugs")


def after(type: str, node: str = "load", **inputs: Any) -> Entry:
    values = {name: Literal(value) for name, value in inputs.items()}
    return Entry(type, {"dataset": From(node, "out"), **values})


def code(error: pytest.ExceptionInfo[GraphError]) -> tuple[str, str | None]:
    (problem,) = error.value.problems
    return problem.code, problem.node


def test_pictures_are_listed_with_captions_sizes_and_faults(catalogue: Catalogue, home: Path) -> None:
    found = catalogue.dataset(request(), "load", "out")
    rows = {row.name: row for row in found.pictures}
    assert list(rows) == ["02-a blue mug.jpg", "1.png", "cut.png", "more/1.png"]
    assert rows["1.png"].caption == 'a "red" <b>mug</b>\n🦊'
    assert [row.caption_source for row in found.pictures] == ["file name", "txt", "file name", "file name"]
    assert rows["02-a blue mug.jpg"].caption == "a blue mug"
    sizes = {name: (row.file_width, row.file_height, row.width, row.height) for name, row in rows.items()}
    assert sizes["1.png"] == (96, 48, 96, 48)
    assert sizes["02-a blue mug.jpg"] == (20, 40, 20, 40), "as the camera was held"
    assert sizes["cut.png"] == (None, None, None, None)
    assert rows["cut.png"].problem
    assert str(home) not in rows["cut.png"].problem, "an answer has no paths of this machine"
    assert rows["1.png"].problem is None
    assert [file.name for file in found.left_out] == ["notes.png"]
    assert len(found.warnings) == 1
    assert not (home / "store" / "history").exists() or not any((home / "store" / "history").iterdir())


def test_sizes_and_thumbnails_are_those_after_the_edits(catalogue: Catalogue) -> None:
    """The left half of a picture is black: the thumbnail of its mirrored crop has the right half black."""
    crop = after("Preprocess@1", width=32, height=32, mirrored=True)
    found = catalogue.dataset(request(crop=crop), "crop", "out")
    sizes = {(row.width, row.height) for row in found.pictures}
    assert sizes == {(32, 32)}
    assert [row.name for row in found.pictures].count("1.png") == 2
    assert all("mirrored" in row.edits for row in found.pictures[1::2])
    (file,) = [file for file in found.left_out if file.name == "cut.png"]
    assert file.reason
    for place, left, right in ((2, BLACK, RED), (3, RED, BLACK)):
        drawn = Image.open(io.BytesIO(catalogue.dataset_picture(found.id, place, 64)))
        assert (drawn.format, drawn.size) == ("WEBP", (32, 32))
        assert near(drawn, 4) == left
        assert near(drawn, 27) == right


def near(picture: Image.Image, x: int) -> tuple[int, ...]:
    """The colour in the middle row, rounded, because WEBP is lossy."""
    pixel = picture.convert("RGB").getpixel((x, 16))
    assert isinstance(pixel, tuple)
    return tuple(round(level / 50) * 50 for level in pixel)


def test_a_thumbnail_is_small_and_upright(catalogue: Catalogue) -> None:
    found = catalogue.dataset(request(), "load", "out")
    drawn = Image.open(io.BytesIO(catalogue.dataset_picture(found.id, 0, 16)))
    assert drawn.size == (8, 16)
    with pytest.raises(GraphError) as broken:
        catalogue.dataset_picture(found.id, 2, 64)
    assert broken.value.problems[0].code == "bad_picture"
    for id, place in ((found.id, 4), ("0" * 64, 0)):
        with pytest.raises(GraphError) as unknown:
            catalogue.dataset_picture(id, place, 64)
        assert unknown.value.problems[0].code == "unknown_dataset"


def test_a_caption_by_name_is_listed(catalogue: Catalogue) -> None:
    captions = after("SetCaptions@1", by_name={"more/1.png": "", "1.png": "x", "gone.png": "y"})
    found = catalogue.dataset(request(captions=captions), "captions", "out")
    listed = {row.name: (row.caption, row.caption_source) for row in found.pictures}
    assert listed["1.png"] == ("x", "edited")
    assert listed["more/1.png"] == ("", "edited")
    (warning,) = found.warnings
    assert "gone.png" in warning


def test_a_name_that_is_no_text_is_listed_and_gets_a_caption(catalogue: Catalogue, home: Path) -> None:
    folder = home / "inputs" / "names"
    folder.mkdir()
    with open(os.fsencode(folder) + b"/caf\xe9.png", "wb") as file:
        Image.new("RGB", (8, 8)).save(file, "PNG")
    captions = after("SetCaptions@1", by_name={"caf?.png": "a café"})
    (row,) = catalogue.dataset(request("names", captions), "captions", "out").pictures
    assert (row.name, row.caption) == ("caf?.png", "a café")
    (row,) = catalogue.dataset(request("names"), "load", "out").pictures
    assert (row.name, row.caption) == ("caf?.png", "caf?")


def test_other_parts_of_the_graph_may_have_errors(catalogue: Catalogue) -> None:
    whole = request(other=Entry("NoSuchNode"), train=after("TrainLoRA@1"))
    assert len(catalogue.dataset(whole, "load", "out").pictures) == 4
    graph = Graph(
        {"a": Entry("A", {"x": Param("p"), "y": From("b", "out")}), "b": Entry("B"), "c": Entry("C")},
        {"p": None, "q": None},  # type: ignore[dict-item]
        title="all",
    )
    part = upstream(RunRequest(graph, {"p": 1, "q": 2}), "a", "z")
    assert (set(part.graph.nodes), set(part.graph.inputs), part.values) == ({"a", "b"}, {"p"}, {"p": 1})
    assert (part.graph.outputs, part.targets) == ({"dataset": From("a", "z")}, ("a",))


def test_what_cannot_be_listed_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises(GraphError) as missing:
        catalogue.dataset(request("../graphs"), "load", "out")
    assert code(missing)[1] == "load"
    with pytest.raises(GraphError) as unknown:
        catalogue.dataset(request(), "lode", "out")
    assert code(unknown)[0] == "unknown_node"
    split = request(each=after("EachPicture@1"))
    with pytest.raises(GraphError) as several:
        catalogue.dataset(split, "each", "out")
    assert code(several) == ("not_a_dataset", "each")
    with pytest.raises(GraphError) as plain:
        catalogue.dataset(request(check=after("CheckDataset@1")), "check", "report")
    assert code(plain) == ("not_a_dataset", "check")
    with pytest.raises(GraphError) as effect:
        catalogue.dataset(request(stamp=after("Stamp@1")), "stamp", "out")
    assert code(effect) == ("has_side_effects", "stamp")


@pytest.mark.parametrize(("type", "seconds"), [("Describe", 60.0), ("Slow", 0.2)])
def test_long_work_and_models_are_left_to_runs(home: Path, type: str, seconds: float) -> None:
    begun = time.monotonic()
    with Session.open(home) as session, pytest.raises(GraphError) as refused:
        Datasets(session, seconds).read(request(it=after(f"{type}@1")).to_json(), "it", "out")
    assert code(refused) == ("not_computed", "it")
    assert time.monotonic() - begun < 20


def test_a_request_travels_as_json() -> None:
    """The part of a graph that is run keeps what a worker needs."""
    part = upstream(replace(request(crop=after("Preprocess@1")), values={}), "crop", "out")
    assert RunRequest.from_json(json.loads(json.dumps(part.to_json()))) == part
