"""How a run looks while it runs: what lines it says, and how far its bars are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from engine.cli import progress, step_progress
from engine.cli.progress import MOST_LINES, Bars, Lines
from engine.events import Done, Event, Metrics, Progress, Published
from tests.engine.run.wide_nodes import WIDE
from tests.engine.small_nodes import Bench, graph_of

Nodes = Mapping[str, Any]


def lines(nodes: Nodes, output: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    with Lines() as view:
        Bench(registry=WIDE).run(graph_of(nodes, {"out": output}), emit=view)
    return [line.partition(" in ")[0] for line in capsys.readouterr().err.splitlines()]


def final(nodes: Nodes, output: str) -> tuple[float, float | None]:
    """How far the bar of the run is when all is over, and how far it would go."""
    with Bars() as view:
        Bench(registry=WIDE).run(graph_of(nodes, {"out": output}), emit=view)
        (task,) = view._display.tasks
        return task.completed, task.total


LISTED = {"double": ("Double", {"x": [1, 2, 3]}), "sum": ("Sum", {"xs": {"from": "double.out"}})}


def test_elements_are_told_as_one_node(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(LISTED, "sum.out", capsys) == [
        "double: 3 elements ...",
        "double: 3 elements done",
        "sum ...",
        "sum: done",
    ]
    assert final(LISTED, "sum.out") == (4, 4)


def test_a_list_of_one_is_told_as_a_step(capsys: pytest.CaptureFixture[str]) -> None:
    nodes = {**LISTED, "double": ("Double", {"x": [1]})}
    assert lines(nodes, "sum.out", capsys)[:2] == ["double[0] ...", "double[0]: done"]


def test_steps_added_during_the_run_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    nodes = {"upto": ("Upto", {"n": 3}), "double": ("Double", {"x": {"from": "upto.out"}})}
    assert lines(nodes, "double.out", capsys) == [
        "upto ...",
        "upto: done",
        "double: 3 elements ...",
        "double: 3 elements done",
    ]
    assert final(nodes, "double.out") == (4, 4)
    assert final({"again": ("Again", {"x": 1, "times": 2})}, "again.out") == (5, 5)


def test_a_failed_element_is_named_and_those_it_takes_with_it_are_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    nodes = {
        "fragile": ("Fragile", {"x": [1, 3, 5]}),
        "double": ("Double", {"x": {"from": "fragile.out"}}),
    }
    assert "fragile[1]: failed after 0.00 s" in lines(nodes, "double.out", capsys)
    assert final(nodes, "double.out") == (6, 6)


def test_many_elements_print_only_counts(capsys: pytest.CaptureFixture[str]) -> None:
    nodes = {**LISTED, "double": ("Double", {"x": [*range(5 * MOST_LINES)]})}
    told = lines(nodes, "sum.out", capsys)
    assert told[0] == "double: 500 elements ..."
    assert "double: 500 elements done" in told
    assert len(told) < 20


TRAINING: list[Event] = [
    Metrics("train", ({"step": 1, "loss": 0.5, "rate": 0.01}, {"step": 2, "loss": 0.25, "rate": 0.01})),
    Metrics("train", ({"step": 2, "validation_loss": None},)),
    Progress("train", 2, 62, 0.5),
]
"""Two steps of a training whose validation loss is not a number."""


def test_a_training_shows_the_time_left_and_its_newest_numbers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    numbers = "loss 0.25, rate 0.01, validation loss not finite"
    with Lines() as view:
        for event in [*TRAINING, Done("train", 4.0), Progress("train", 3, 62, None)]:
            view(event)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"train: 2/62 2.0 s/step, 2 min left, {numbers}"
    assert said[-1] == "train: 3/62", "the numbers of a step that has ended are not shown"
    with Bars() as bars:
        for event in TRAINING:
            bars(event)
        (task,) = bars._display.tasks
    assert task.fields == {"count": "2/62", "speed": "2.0 s/step, 2 min left", "numbers": numbers}


@pytest.mark.parametrize(
    ("value", "total", "rate", "shown"),
    [
        (5, 10, None, ""),
        (5, None, 4.0, "4.0 steps/s"),
        (10, 10, 4.0, "4.0 steps/s"),
        (0, 60, 0.0, ""),
        (10, 50, 4.0, "4.0 steps/s, 10 s left"),
        (0, 89 * 60, 1.0, "1.0 steps/s, 89 min left"),
        (0, 7290, 1.0, "1.0 steps/s, 2 h 2 min left"),
    ],
)
def test_the_time_left_follows_from_the_speed(
    value: int, total: int | None, rate: float | None, shown: str
) -> None:
    assert step_progress.speed(value, total, rate) == shown


def test_progress_names_its_unit_and_its_stage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    encoding = Progress("train", 2, 12, 0.5, "pictures", "encoding pictures")
    with Lines() as view:
        view(encoding)
    assert capsys.readouterr().err == "train: encoding pictures 2/12 2.0 s/picture, 20 s left\n"
    with Bars() as bars:
        bars(encoding)
        (task,) = bars._display.tasks
    assert task.fields["count"] == "encoding pictures 2/12"
    assert task.fields["speed"] == "2.0 s/picture, 20 s left"


def test_the_folder_of_published_files_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    for view in (Lines(), Bars()):
        with view:
            for name in ("samples/000050.jpeg", "copies/000100.safetensors"):
                view(Published("train", name, f"/steps/published/{name}", 10))
        assert capsys.readouterr().err.split("\n")[:2] == ["train: publishes files in /steps/published", ""]
