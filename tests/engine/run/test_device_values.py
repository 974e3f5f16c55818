"""Values on a device: live there between two steps of a run, and on the host in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple, Self

import pytest

from engine import settings
from engine.context import Context
from engine.document.graph import Graph
from engine.document.reader import from_json
from engine.node import Node
from engine.packs.registry import Registry
from engine.session import Session
from engine.values import Json, Packed, Value, on_host


class Tensor:
    """Like a tensor of torch, on a device that this machine lacks."""

    nbytes = 1000
    flags = SimpleNamespace(writeable=False)

    def __init__(self, device: str) -> None:
        self.device = device

    def cpu(self) -> Tensor:
        return Tensor("cpu")


class Pair(NamedTuple):
    left: Tensor
    right: int


@dataclass(frozen=True)
class OnDevice(Value, lossless=True):
    """A value that holds tensors in several ways."""

    tensor: Tensor
    pairs: tuple[Pair, ...] = ()
    table: Mapping[str, list[Tensor]] | None = None

    def pack(self) -> Packed:
        return Packed(self.wire, None)

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        return cls(Tensor("cpu"))


class Made(Node):
    """Make a value on the device."""

    def run(self, ctx: Context) -> OnDevice:
        return OnDevice(Tensor("cuda:0"))


class Where(Node):
    """Tell the device of a value."""

    value: OnDevice
    number: int = 0

    def run(self, ctx: Context) -> str:
        return self.value.tensor.device


def graph(number: int) -> Graph:
    where = {"type": "Where", "inputs": {"value": {"from": "made.out"}, "number": number}}
    return from_json(
        {
            "safelight": 1,
            "nodes": {"made": {"type": "Made"}, "where": where},
            "outputs": {"out": {"from": "where.out"}},
        }
    )


@pytest.mark.parametrize("disk_budget", [0, 1 << 24])
def test_a_value_stays_on_the_device_for_the_next_step_and_on_the_host_for_later_runs(
    tmp_path: Path, disk_budget: int
) -> None:
    found = settings.load(tmp_path, device="cpu", disk_budget=disk_budget)
    with Session(found, registry=Registry([Made, Where])) as session:
        first = session.run(graph(1))
        assert not first.problems
        assert first["out"] == "cuda:0"
        report = session.run(graph(2))
        assert report.nodes["made"].state == "cached"
        assert report["out"] == "cpu"


def test_tensors_are_moved_wherever_a_value_holds_them() -> None:
    value = OnDevice(Tensor("cpu"), (Pair(Tensor("cuda"), 3),), {"a": [Tensor("cuda"), Tensor("cpu")]})
    moved = on_host(value)
    assert moved.tensor is value.tensor
    assert (type(moved.pairs[0]), moved.pairs[0].left.device, moved.pairs[0].right) == (Pair, "cpu", 3)
    assert [tensor.device for tensor in moved.table["a"]] == ["cpu", "cpu"]
    assert value.pairs[0].left.device == "cuda"


def test_a_value_on_the_host_is_the_very_same() -> None:
    for value in (
        OnDevice(Tensor("cpu"), (Pair(Tensor("cpu"), 3),), {"a": []}),
        3,
        "x",
        [1, {"a": b""}],
        None,
    ):
        assert on_host(value) is value
