"""What enters a key and what does not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.check import check as checking
from engine.context import Context
from engine.files import Files
from engine.node import Node
from engine.packs.registry import Registry
from engine.plan import keys, plan
from engine.store.memory import Memory
from engine.values import Json
from tests.engine.small_nodes import REGISTRY, PlainDigests, graph_of


def key(
    nodes: Mapping[str, tuple[str, Mapping[str, Any]]],
    registry: Registry = REGISTRY,
    compute: str = "cpu",
    folder: Path = Path("nowhere"),
) -> str | None:
    """The key of the last node."""
    checked = checking.check(graph_of(nodes), registry)
    assert checked.ok, checked.problems
    files = Files(lambda kind: [folder], PlainDigests(), folder)
    steps = plan.plan(checked, Memory(1), files, targets=tuple(nodes), compute=compute).steps
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


def test_every_literal_and_wire_changes_the_key() -> None:
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
        key(graph, made(accelerator=True), compute="cuda"),
    ]
    monkeypatch.setattr(keys, "_version", lambda library: "another version")
    keys._machine.cache_clear()
    found.append(key(graph, with_library))
    keys._machine.cache_clear()
    assert len(set(found)) == len(found)
    assert key(graph, made(), compute="cuda") == found[0], "a node that computes elsewhere does not care"
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


def test_an_impure_node_has_a_new_key_in_every_plan() -> None:
    acts: dict[str, tuple[str, dict[str, Json]]] = {"x": ("Act", {"a": 1})}
    assert key(acts) != key(acts)


def test_keys_are_the_ones_that_were_written_before() -> None:
    """A change of this figure abandons every result that people keep: raise KEY_SCHEMA when it is meant."""
    chain: dict[str, tuple[str, dict[str, Json]]] = {
        "a": ("Mix", {"a": 1}),
        "b": ("Mix", {"a": {"from": "a.out"}, "salt": 2}),
    }
    assert keys.KEY_SCHEMA == 2
    assert key(chain) == "0f6d1193f8719c61d92120ba58b1365b68b919eaf57eadcf12a9015ee8d73537"


def test_a_lineage_leaves_out_how_far_a_step_goes_and_nothing_else() -> None:
    class Train(Node, extends=("steps",)):
        """Train for some steps."""

        steps: int = 100
        rate: int = 1
        salt: int = 0

        def run(self, ctx: Context) -> int:
            return self.steps

    registry = Registry([Train, REGISTRY.types["Mix"].cls])

    def lineage(inputs: dict[str, Any], node: str = "x") -> str | None:
        graph = graph_of({"one": ("Mix", {"a": 1}), "two": ("Mix", {"a": 2}), "x": ("Train", inputs)})
        files = Files(lambda kind: [], PlainDigests(), Path("nowhere"))
        planned = plan.plan(checking.check(graph, registry), Memory(1), files, targets=("one", "two", "x"))
        step = planned.steps[node]
        assert (planned.builder.keys.lineage(step) == step.key) == (node != "x")
        return planned.builder.keys.lineage(step)

    one, two = {"from": "one.out"}, {"from": "two.out"}
    alike: list[dict[str, Any]] = [{}, {"steps": 200}, {"steps": one}, {"steps": two}]
    others: list[dict[str, Any]] = [
        {"rate": 2},
        {"steps": 200, "rate": 2, "salt": 1},
        {"rate": one},
        {"rate": two},
        {"salt": one},
    ]
    assert len({lineage(inputs) for inputs in alike}) == 1
    assert len({lineage(inputs) for inputs in [alike[0], *others]}) == 1 + len(others)
    assert lineage({}, "one") is not None
