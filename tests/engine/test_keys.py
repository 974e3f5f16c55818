"""What enters a key and what does not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from engine import check as checking
from engine import keys, plan
from engine.context import Context
from engine.files import Files
from engine.node import Node
from engine.registry import Registry
from engine.store.memory import Memory
from engine.values import Json
from tests.engine.small_nodes import REGISTRY, PlainDigests, graph_of


def key(
    nodes: Mapping[str, tuple[str, Mapping[str, Any]]],
    registry: Registry = REGISTRY,
    device: str = "cpu",
    folder: Path = Path("nowhere"),
) -> str | None:
    """The key of the last node."""
    checked = checking.check(graph_of(nodes), registry)
    assert checked.ok, checked.problems
    files = Files(lambda kind: [folder], PlainDigests(), folder)
    steps = plan.plan(checked, Memory(1), files, targets=tuple(nodes), device=device).steps
    return steps[[*nodes][-1]].key


def test_an_explicit_default_and_an_int_for_a_float_are_the_same() -> None:
    plain = key({"x": ("Settings", {})})
    same: list[dict[str, Any]] = [
        {"count": 20},
        {"scale": 1},
        {"scale": 1.0},
        {"weights": []},
        {"mode": "fast", "on": False, "text": "", "more": {"value": {}}},
    ]
    for inputs in same:
        assert key({"x": ("Settings@1", inputs)}) == plain
    assert key({"x": ("Settings", {"weights": [1, 2]})}) == key({"x": ("Settings", {"weights": [1.0, 2]})})


def test_every_literal_and_every_wire_matters() -> None:
    one, two = ("Mix", {"a": 1}), ("Mix", {"a": 2})
    split = ("Split", {"a": 5})
    found = [
        key({"x": ("Settings", {})}),
        key({"x": ("Settings", {"count": 21})}),
        key({"x": ("Settings", {"on": True})}),
        key({"x": ("Settings", {"text": "20"})}),
        key({"x": ("Settings", {"weights": [1.0]})}),
        key({"x": ("Settings", {"weights": [1.0, 1.0]})}),
        key({"x": ("Settings", {"more": {"value": {"a": 1.0}}})}),
        key({"x": ("Mix", {"a": 1, "b": 2})}),
        key({"x": ("Mix", {"a": 2, "b": 1})}),
        key({"x": ("Lane", {"a": 1, "b": 2})}),
        key({"p": one, "x": ("Mix", {"a": {"from": "p.out"}})}),
        key({"p": one, "x": ("Mix", {"b": {"from": "p.out"}})}),
        key({"p": two, "x": ("Mix", {"a": {"from": "p.out"}})}),
        key({"s": split, "x": ("Mix", {"a": {"from": "s.low"}})}),
        key({"s": split, "x": ("Mix", {"a": {"from": "s.high"}})}),
        key({"s": split, "x": ("Mix", {"a": {"from": "s.high"}, "b": {"from": "s.low"}})}),
        key({"s": split, "x": ("Mix", {"a": {"from": "s.low"}, "b": {"from": "s.high"}})}),
    ]
    assert len(set(found)) == len(found)


def made(**words: Any) -> Registry:
    class Made(Node, **words):
        """Made with these class keywords."""

        def run(self, ctx: Context) -> int:
            return 1

    return Registry([Made])


def test_version_code_libraries_and_device_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    graph: dict[str, tuple[str, dict[str, Json]]] = {"x": ("Made", {})}
    by_code = Registry()
    by_code.add(made().types["Made"].cls, code="0" * 64)
    with_library = made(libraries=("pydantic",))
    found = [
        key(graph, made()),
        key(graph, made(version=2)),
        key(graph, by_code),
        key(graph, with_library),
        key(graph, made(libraries=("no-such-library",))),
        key(graph, made(accelerator=True)),
        key(graph, made(accelerator=True), device="cuda"),
    ]
    monkeypatch.setattr(keys, "_version", lambda library: "another version")
    keys.environment.cache_clear()
    found.append(key(graph, with_library))
    keys.environment.cache_clear()
    assert len(set(found)) == len(found)
    assert key(graph, made(), device="cuda") == found[0], "a node that computes elsewhere does not care"
    assert key(graph, made(category="other words")) == found[0]


def test_the_content_of_a_file_matters_as_it_is_now(tmp_path: Path) -> None:
    class Reads(Node):
        """Read a file."""

        name: str

        def fingerprint(self, files: Files) -> Json:
            return files.digest(files.find("any", self.name))

        def run(self, ctx: Context) -> int:
            return 1

    registry = Registry([Reads])
    file = tmp_path / "a"
    file.write_text("one")
    one = key({"x": ("Reads", {"name": "a"})}, registry, folder=tmp_path)
    file.write_text("two")
    two = key({"x": ("Reads", {"name": "a"})}, registry, folder=tmp_path)
    file.write_text("one")
    assert one != two
    assert one == key({"x": ("Reads", {"name": "a"})}, registry, folder=tmp_path)


def test_what_acts_on_the_world_has_a_new_key_each_time() -> None:
    acts: dict[str, tuple[str, dict[str, Json]]] = {"x": ("Act", {"a": 1})}
    assert key(acts) != key(acts)


def test_keys_are_the_ones_that_were_written_before() -> None:
    """A change of this figure abandons every result that people keep: raise KEY_SCHEMA when it is meant."""
    chain: dict[str, tuple[str, dict[str, Json]]] = {
        "a": ("Mix", {"a": 1}),
        "b": ("Mix", {"a": {"from": "a.out"}, "salt": 2}),
    }
    assert checking.KEY_SCHEMA == 1
    assert key(chain) == "ff00f486244311941f98140b7bb6a1fe58fc02bf9e6bc1cf4714909313bd403d"
