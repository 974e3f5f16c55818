"""How a run looks while it runs: what lines it says, and how far its bars are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from engine.cli.progress import MOST_LINES, Bars, Lines
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
