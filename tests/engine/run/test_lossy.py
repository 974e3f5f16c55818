"""A value that its bytes do not hold exactly is the same in memory, on disk and for the next step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from engine.context import Context
from engine.node import Node
from engine.testing import check_lossless, run_graph, run_node
from engine.values import Json, Packed, Part, Value


@dataclass(frozen=True)
class Rounded(Value, wire="RoundedNumber"):
    """A number that becomes a float32 on disk."""

    number: float

    def pack(self) -> Packed:
        data = np.float32(self.number).tobytes()
        return Packed(self.wire, None, (Part("number", "application/octet-stream", data),))

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        return cls(float(np.frombuffer(parts["number"], np.float32)[0]))


class Boastful(Rounded, wire="BoastfulNumber", lossless=True):
    """The same, declared lossless although it is not."""


class Round(Node):
    """Make a list of one."""

    number: float

    def run(self, ctx: Context) -> list[Rounded]:
        return [Rounded(self.number)]


class Boast(Node):
    """Make one that is declared lossless."""

    def run(self, ctx: Context) -> Boastful:
        return Boastful(0.1 + 0.2)


class Show(Node):
    """Show the number."""

    values: list[Rounded]
    salt: int = 0

    def run(self, ctx: Context) -> list[float]:
        return [value.number for value in self.values]


def test_a_step_gets_the_same_value_from_memory_and_from_disk(tmp_path: Path) -> None:
    shown = []
    for salt in range(2):  # in the second run, from disk
        graph = {
            "safelight": 1,
            "outputs": {"shown": {"from": "show.out"}},
            "nodes": {
                "round": {"type": "Round", "inputs": {"number": 0.1 + 0.2}},
                "show": {"type": "Show", "inputs": {"values": {"from": "round.out"}, "salt": salt}},
            },
        }
        report = run_graph(graph, home=tmp_path, types=[Round, Show])
        shown.append(report.outputs["shown"].meta)
    assert shown == [[float(np.float32(0.1 + 0.2))]] * 2


def test_the_test_kit_finds_a_loss_that_is_not_declared() -> None:
    assert run_node(Round(number=0.1 + 0.2))["out"] == [Rounded(0.1 + 0.2)]
    check_lossless(Boastful(0.5))
    with pytest.raises(AssertionError, match=r"Boastful is declared lossless, but out\.number differs"):
        run_node(Boast())
