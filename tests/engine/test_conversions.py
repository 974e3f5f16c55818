"""Conversions that are offered between two types, and what takes the place of what has had its day."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from engine.context import Context
from engine.conversions import hint
from engine.deprecation import deprecation
from engine.node import Node
from engine.registry import Registry
from engine.values import Value
from engine.wires import Wire


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
    assert [kind.name for kind in REGISTRY.conversion(offered, wanted)] == names


def test_the_advice_names_what_else_is_needed() -> None:
    assert hint([]) is None
    assert hint(REGISTRY.conversion(ORE, IRON)) == (
        "put a Smelt between them: it makes ConvertedSteel of ConvertedOre"
    )
    assert hint(REGISTRY.conversion(ORE, SWORD)) == (
        "put a Smelt and then a Forge between them: Smelt makes ConvertedSteel of ConvertedOre; "
        "Forge makes ConvertedSword of ConvertedIron, and takes shape and edges besides"
    )


def test_the_built_in_nodes_offer_theirs() -> None:
    registry = Registry.find()
    assert hint(registry.conversion(Wire("Latent"), Wire("Image"))) == (
        "put a Decode between them: it makes Image of Latent, and takes vae besides"
    )
    assert [kind.name for kind in registry.conversion(Wire("Image"), Wire("Latent"))] == ["Encode"]
    assert registry.conversion(Wire("Vae"), Wire("Image")) == []


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


def test_what_is_said_of_a_deprecated_node() -> None:
    types = Registry([Replaced, Newer, Anneal]).types
    said = {name: deprecation(kind, types, "n") for name, kind in types.items()}
    assert said["Newer"] is None
    assert str(said["Replaced"]) == (
        "n: Replaced is deprecated: use Newer instead"
        " · hint: write Newer@3 in its place; without b; give it c"
    )
    assert str(said["Anneal"]) == "n: Anneal is deprecated: swords do not need it"
    assert said["Replaced"] is not None
    assert (said["Replaced"].code, said["Replaced"].severity) == ("deprecated", "warning")
    missing = deprecation(Replaced.node_type, {}, "n")
    assert missing is not None
    assert missing.hint == "install the pack that brings Newer"
