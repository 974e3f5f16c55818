"""The plan tells which models it needs again, and these are evicted last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from engine import settings
from engine.context import Context
from engine.devices.compute import ComputeSettings
from engine.devices.recipe import Recipe
from engine.document.reader import from_json
from engine.files import Files
from engine.node import Node
from engine.packs.registry import Registry
from engine.session import Session
from engine.values import Json, Packed, Value

LOADS: Counter[str] = Counter()


@dataclass(frozen=True)
class Thing(Value, Recipe[str]):
    """A model of ten bytes, perhaps patched."""

    name: str
    patched: bool = False

    @property
    def identity(self) -> tuple[str, bool]:
        return self.name, self.patched

    @property
    def base(self) -> Thing | None:
        return replace(self, patched=False) if self.patched else None

    def load(self, compute: ComputeSettings, files: Files) -> tuple[str, int]:
        LOADS[self.name] += 1
        return self.name, 10

    def compose(self, base: Any, layers: Any, compute: ComputeSettings) -> tuple[str, int]:
        return f"{base}, patched", 0

    def pack(self) -> Packed:
        return Packed(self.wire, [self.name, self.patched])

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        assert isinstance(meta, list)
        return cls(str(meta[0]), bool(meta[1]))


class Name(Node):
    """Name a model."""

    name: str
    patched: bool = False

    def run(self, ctx: Context) -> Thing:
        return Thing(self.name, self.patched)


class Use(Node, accelerator=True):
    """Use a model."""

    thing: Thing
    after: str = ""

    def run(self, ctx: Context) -> str:
        return ctx.use(self.thing)


def test_a_model_that_is_used_again_stays_although_another_was_used_later(tmp_path: Path) -> None:
    nodes: dict[str, Any] = {
        name: {"type": "Name", "inputs": {"name": name[0], "patched": name == "a_patched"}}
        for name in ("a", "b", "c", "a_patched")
    }
    before = ""
    for number, name in enumerate(("a", "b", "c", "a_patched")):
        inputs: dict[str, Any] = {"thing": {"from": f"{name}.out"}}
        if before:
            inputs["after"] = {"from": f"{before}.out"}
        before = f"use{number}"
        nodes[before] = {"type": "Use", "inputs": inputs}
    graph = from_json({"safelight": 1, "nodes": nodes, "outputs": {"out": {"from": f"{before}.out"}}})
    LOADS.clear()
    found = settings.load(tmp_path, device="cpu", loaded_budget=20, workers=1)
    with Session(found, registry=Registry([Name, Use])) as session:
        report = session.run(graph)
        assert not report.problems
        assert report["out"] == "a, patched"
    assert LOADS == {"a": 1, "b": 1, "c": 1}, "by use alone, a would have gone for c, and been loaded again"
