"""Warnings that come with kept results: said again, kept apart, bounded, and never in the way."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from engine.context import Context
from engine.errors import NodeError
from engine.events import Event, Warned
from engine.node import Node
from engine.observe import kept_warnings
from engine.observe.kept_warnings import KeptWarnings
from engine.packs.registry import Registry
from tests.engine.small_nodes import Bench, graph_of


class Grumble(Node):
    """Warn, and fail if asked to."""

    a: int = 0
    words: list[str] = ["rain"]  # noqa: RUF012  # a field, of which each node has its own
    fail: bool = False

    def run(self, ctx: Context) -> int:
        for word in self.words:
            ctx.warn(word)
        if self.fail:
            raise NodeError("it failed")
        return self.a + 1


class Act(Node, pure=False):
    """Warn and act."""

    a: int = 0

    def run(self, ctx: Context) -> int:
        ctx.warn("acting")
        return self.a


class Count(Node):
    """Count up to a number."""

    a: int = 0

    def run(self, ctx: Context) -> list[int]:
        return list(range(self.a))


Nodes = dict[str, tuple[str, dict[str, Any]]]


@pytest.fixture
def bench() -> Bench:
    return Bench(registry=Registry([Grumble, Act, Count]))


def run(bench: Bench, folder: Path | None, nodes: Nodes) -> tuple[KeptWarnings, list[tuple[str | None, str]]]:
    """What was kept in mind of one run, and the warnings that were told while it went on."""
    told: list[Event] = []
    said = KeptWarnings(folder, told.append)
    bench.run(graph_of(nodes), list(nodes), emit=said)
    return said, [(event.node, event.message) for event in told if isinstance(event, Warned)]


def test_warnings_are_told_again_with_the_kept_result_also_of_ancestors(bench: Bench, tmp_path: Path) -> None:
    nodes: Nodes = {"one": ("Grumble", {}), "two": ("Grumble", {"a": {"from": "one.out"}, "words": ["snow"]})}
    for _ in range(3):
        said, told = run(bench, tmp_path / "warnings", nodes)
        assert (said.of("one"), said.of("two")) == (["rain"], ["snow"])
        assert sorted(told) == [("one", "rain"), ("two", "snow")]


def test_kept_warnings_of_list_elements_are_repeated_one_by_one(bench: Bench, tmp_path: Path) -> None:
    for count in (2, 3, 3):
        nodes: Nodes = {"count": ("Count", {"a": count}), "g": ("Grumble", {"a": {"from": "count.out"}})}
        said, told = run(bench, tmp_path, nodes)
        assert sorted(told) == [(f"g[{n}]", "rain") for n in range(count)]
        assert all(said.of(f"g[{n}]") == ["rain"] for n in range(count))


def test_equal_nodes_share_their_warnings_which_are_told_once(bench: Bench, tmp_path: Path) -> None:
    for _ in range(2):
        said, told = run(bench, tmp_path, {"one": ("Grumble", {}), "same": ("Grumble", {})})
        assert said.of("one") == said.of("same") == ["rain"]
        assert told == [("one", "rain")]


def test_failed_and_impure_steps_keep_no_warnings(bench: Bench, tmp_path: Path) -> None:
    said, told = run(bench, tmp_path, {"bad": ("Grumble", {"fail": True}), "act": ("Act", {})})
    assert (said.of("bad"), said.of("act")) == (["rain"], ["acting"])
    assert len(told) == 2
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_nothing_is_kept(bench: Bench) -> None:
    assert run(bench, None, {"one": ("Grumble", {})})[0].of("one") == ["rain"]
    assert run(bench, None, {"one": ("Grumble", {})})[0].of("one") == []


def test_a_folder_that_cannot_be_written_is_not_worth_a_word(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "warnings").write_text("in the way")
    said, told = run(bench, tmp_path / "warnings", {"one": ("Grumble", {})})
    assert told == [("one", "rain")]
    assert said.of("one") == ["rain"]


def test_the_oldest_go_first(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_warnings, "MOST_RESULTS", 10)
    for n in range(11):
        run(bench, tmp_path, {"one": ("Grumble", {"a": n, "words": [f"word {n}"]})})
        for path in tmp_path.iterdir():
            os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns - 10**9))
    kept = {json.loads(path.read_text())[0] for path in tmp_path.iterdir()}
    assert kept == {f"word {n}" for n in range(2, 11)}


def test_many_and_long_warnings_are_cut_when_kept(bench: Bench, tmp_path: Path) -> None:
    words = ["x" * 10_000, *map(str, range(100))]
    said, _ = run(bench, tmp_path, {"one": ("Grumble", {"words": words})})
    assert said.of("one") == words
    again, _ = run(bench, tmp_path, {"one": ("Grumble", {"words": words})})
    assert again.of("one") == [
        "x" * kept_warnings.LONGEST_WARNING,
        *map(str, range(kept_warnings.MOST_WARNINGS - 1)),
    ]
