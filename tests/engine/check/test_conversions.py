"""Conversions that are offered between two types, and what takes the place of what has had its day."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from engine.check.conversions import find, hint
from engine.check.deprecation import deprecation
from engine.context import Context
from engine.node import Node
from engine.packs.registry import Registry
from engine.types.wires import Wire
from engine.values import Value


@dataclass(frozen=True)
class Ore(Value, wire="ConvertedOre"):
    pass


@dataclass(frozen=True)
class Iron(Value, wire="ConvertedIron"):
    pass


@dataclass(frozen=True)
class Steel(Iron, wire="ConvertedSteel"):
    pass


@dataclass(frozen=True)
class Sword(Value, wire="ConvertedSword"):
    pass


class Smelt(Node, converts=True):
    ore: Ore
    hours: int = 3

    def run(self, ctx: Context) -> Steel:
        return Steel()


class Anneal(Node, deprecated="swords do not need it", converts=True):
    ore: Ore

    def run(self, ctx: Context) -> Sword:
        return Sword()


class Forge(Node, converts="iron"):
    iron: Iron
    shape: Sword
    edges: int

    def run(self, ctx: Context) -> Sword:
        return Sword()


class Mean(Node, converts=True):
    numbers: list[float]

    def run(self, ctx: Context) -> float:
        return sum(self.numbers) / len(self.numbers)


class Melt(Node):
    sword: Sword

    def run(self, ctx: Context) -> Iron:
        return Iron()


REGISTRY = Registry([Anneal, Forge, Mean, Melt, Smelt])
ORE, IRON, SWORD = Wire(Ore.wire), Wire(Iron.wire), Wire(Sword.wire)


@pytest.mark.parametrize(
    ("offered", "wanted", "names"),
    [
        (ORE, IRON, ["Smelt"]),
        (ORE, SWORD, ["Smelt", "Forge"]),
        (Wire(Steel.wire), SWORD, ["Forge"]),
        (SWORD, IRON, []),
        (IRON, ORE, []),
        (Wire(Ore.wire, 2), Wire(Iron.wire, 2), ["Smelt"]),
        (Wire(Ore.wire, 1), IRON, ["Smelt"]),
        (ORE, Wire(Iron.wire, 1), []),
        (Wire("int", 1), Wire("float"), ["Mean"]),
        (Wire("text"), SWORD, []),
    ],
)
def test_the_shortest_chain_of_what_converts(offered: Wire, wanted: Wire, names: list[str]) -> None:
    assert [kind.name for kind in find(REGISTRY.types.values(), offered, wanted)] == names


def test_the_hint_names_each_node_and_what_else_it_needs() -> None:
    assert hint([]) is None
    assert "put a Smelt between them" in str(hint(find(REGISTRY.types.values(), ORE, IRON)))
    two = str(hint(find(REGISTRY.types.values(), ORE, SWORD)))
    assert "put a Smelt and then a Forge between them" in two
    assert "shape and edges" in two


def test_the_built_in_nodes_offer_theirs() -> None:
    registry = Registry.find()
    decode = str(hint(find(registry.types.values(), Wire("Latent"), Wire("Image"))))
    assert "put a Decode between them" in decode
    assert "vae" in decode
    assert [kind.name for kind in find(registry.types.values(), Wire("Image"), Wire("Latent"))] == ["Encode"]
    assert find(registry.types.values(), Wire("Vae"), Wire("Image")) == []


class Replaced(Node, replaced_by="Newer"):
    a: int
    b: int = 0

    def run(self, ctx: Context) -> int:
        return 1


class Newer(Node, version=3):
    a: int
    c: float

    def run(self, ctx: Context) -> int:
        return 1


def test_the_warning_for_a_deprecated_node() -> None:
    types = Registry([Replaced, Newer, Anneal]).types
    warnings = {name: deprecation(kind, types, "n") for name, kind in types.items()}
    assert warnings["Newer"] is None
    replaced, anneal = warnings["Replaced"], warnings["Anneal"]
    assert replaced is not None
    assert (replaced.code, replaced.severity, replaced.node) == ("deprecated", "warning", "n")
    for part in ("Newer@3", "remove b", "set c"):
        assert part in str(replaced.hint)
    assert anneal is not None
    assert "swords do not need it" in anneal.message
    missing = deprecation(Replaced.node_type, {}, "n")
    assert missing is not None
    assert "Newer" in str(missing.hint)
