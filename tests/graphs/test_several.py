"""Several pictures from one graph: each is, bit for bit, the picture that it would be alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as pillow

from engine.cli import main
from engine.session import Session
from engine.sources import source
from engine.testing import computed
from tests.nodes.conftest import GRAPHS, home, open_session, output, session
from tests.nodes.sd.tiny.judge import look

__all__ = ["home", "open_session", "session"]

SIDE, GAP = 128, 4
SINGLE = source.load(GRAPHS / "text_to_image.json")
Alone = Callable[..., Any]


@pytest.fixture
def alone(open_session: Callable[..., Session], tmp_path: Path) -> Alone:
    """Makes single pictures in another home, so that nothing comes from the store of the first."""
    elsewhere = open_session(tmp_path / "elsewhere")
    return lambda **values: output(elsewhere.run(SINGLE, values)).pixels[0]


def cells(sheet: Any, down: int, across: int) -> list[list[Any]]:
    """The pictures of a sheet, which lie at its lower right, whatever is written before and above them."""
    top, left = (sheet.shape[axis] - count * (SIDE + GAP) for axis, count in enumerate((down, across)))
    return [
        [sheet[y : y + SIDE, x : x + SIDE] for x in range(left, sheet.shape[1], SIDE + GAP)]
        for y in range(top, sheet.shape[0], SIDE + GAP)
    ]


def seen(cell: Any) -> tuple[str, str, str]:
    verdict = look(pillow.fromarray(cell))
    return verdict.colour, verdict.shape, verdict.background


def test_the_seeds_grid_is_made_of_the_pictures_of_its_seeds(session: Session, alone: Alone) -> None:
    graph = source.load(GRAPHS / "seeds_grid.json")
    few = {"steps": 10, "seed": 12}
    first = session.run(graph, {**few, "count": 3})
    found = [cell for row in cells(output(first, "sheet").pixels[0], 2, 2) for cell in row]
    for seed, cell in zip((12, 13, 14), found, strict=False):
        assert np.array_equal(cell, alone(steps=10, seed=seed))
        assert seen(cell) == ("red", "circle", "blue")
    assert (found[3] == 255).all()

    report = session.run(graph, {**few, "count": 4})
    assert {node for node in computed(report) if "[" in node} == {"denoise[3]", "decode[3]"}
    assert {node for node in computed(report) if "[" not in node} == {"seeds", "denoise", "decode", "sheet"}
    more = [cell for row in cells(output(report, "sheet").pixels[0], 2, 2) for cell in row]
    assert np.array_equal(np.stack(more[:3]), np.stack(found[:3]))
    assert np.array_equal(more[3], alone(steps=10, seed=15))


def test_the_xy_plot_has_every_combination_at_its_place(session: Session, alone: Alone) -> None:
    report = session.run(source.load(GRAPHS / "xy_plot.json"))
    found = cells(output(report, "sheet").pixels[0], 3, 3)
    for row, steps in zip(found, (4, 8, 20), strict=True):
        for cell, guidance in zip(row, (1.0, 4.0, 8.0), strict=True):
            if steps < 20:  # the others are compared by what they show
                assert np.array_equal(cell, alone(steps=steps, guidance=guidance)), (steps, guidance)
            if steps > 4 or guidance == 1:  # four steps are too few for strong guidance: the plot shows it
                assert seen(cell) == ("red", "circle", "blue"), (steps, guidance)
    shown_in_the_readme(session)


def shown_in_the_readme(session: Session) -> None:
    """Compare the README's plot with the graph's. Its colours were reduced to 256 to make the file small."""
    path = GRAPHS / "pictures" / "xy-plot.png"
    graph = source.load(path)
    assert (graph.nodes, graph.inputs) == (
        (plot := source.load(GRAPHS / "xy_plot.json")).nodes,
        plot.inputs,
    )
    with pillow.open(path) as picture:
        shown = np.asarray(picture.convert("RGB")).astype(int)
    made = output(session.run(graph), "sheet").pixels[0].astype(int)
    assert shown.shape == made.shape
    assert np.abs(shown - made).mean() < 1
    assert path.stat().st_size < 60_000


def test_a_swept_picture_is_the_single_one_and_can_be_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], alone: Alone
) -> None:
    def call(*words: object) -> Any:
        home = ["--home", str(tmp_path / "home"), "--device", "cpu", "--json"]
        assert main([*map(str, words), *home]) == 0
        return json.loads(capsys.readouterr().out)

    swept = call(
        "run", GRAPHS / "text_to_image.json", "--sweep", "steps=2,3", "--sweep", "seed=5,6", "--out", tmp_path
    )["outputs"]["image"]
    assert swept["summary"] == "4 x 128 x 128"
    assert [item["values"] for item in swept["elements"]] == [
        {"steps": steps, "seed": seed} for steps in (2, 3) for seed in (5, 6)
    ]
    for item in swept["elements"]:
        (file,) = map(Path, item["files"])
        steps, seed = item["values"]["steps"], item["values"]["seed"]
        assert file.name == f"text-to-image-image-steps-{steps}-seed-{seed}-0001.png"
        with pillow.open(file) as picture:
            assert f"Steps: {steps}," in picture.info["parameters"]
            assert f"Seed: {seed}," in picture.info["parameters"]
            assert np.array_equal(np.asarray(picture), alone(**item["values"]))
        again = call("run", file, "--out", tmp_path / "again")
        assert {fared["state"] for fared in again["nodes"].values()} == {"cached"}
        assert again["outputs"]["image"]["digest"] == item["digest"]
        assert Path(again["outputs"]["image"]["files"][0]).read_bytes() == file.read_bytes()


def test_one_subgraph_used_twice_changes_the_picture_twice(session: Session) -> None:
    graph = source.load(GRAPHS / "changed_twice.json")
    session.files.beside = GRAPHS
    report = session.run(graph)
    assert "blue" not in report.nodes, "it is off"
    assert seen(output(report, "first").pixels[0]) == ("yellow", "star", "purple")
    assert seen(output(report, "second").pixels[0]) == ("red", "circle", "purple")
    changed = session.run(graph, {"second": "a blue square on a purple background"})
    assert computed(changed) == {"twice/positive", "twice/denoise", "twice/decode"}
    graph.nodes["blue"].off = False
    on = session.run(graph)
    assert {"blue", "once/denoise", "twice/denoise"} <= computed(on)
    colour, _, background = seen(output(on, "second").pixels[0])
    assert (colour, background) == ("blue", "purple"), "the LoRA turns red into blue"


def test_words_or_a_picture_and_nothing_is_done_for_the_other(session: Session, alone: Alone) -> None:
    graph = source.load(GRAPHS / "words_or_picture.json")
    session.files.beside = GRAPHS
    words = session.run(graph, {"steps": 10})
    assert not {"picture", "resize", "encode"} & computed(words)
    single = alone(prompt="a red star on a yellow background", steps=10)
    assert np.array_equal(output(words).pixels[0], single)
    from_picture = session.run(graph, {"steps": 10, "from_picture": True})
    assert "canvas" not in computed(from_picture)
    assert {"picture", "resize", "encode", "denoise"} <= computed(from_picture)
    assert seen(output(from_picture).pixels[0]) == ("red", "star", "yellow")
    assert not np.array_equal(output(from_picture).pixels[0], single)
    missing = session.run(graph, {"steps": 10, "image": "gone.png"})
    assert missing.state == "done", "a file that is not asked for may be gone"
