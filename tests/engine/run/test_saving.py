"""Pictures that a step has made on the device are encoded while the next step uses the device."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.context import Context
from engine.devices.residency import Residency
from engine.events import Done, Event, Started
from engine.node import Node
from engine.packs.registry import Registry
from engine.plan.step import Step
from engine.run.result_caching import ResultCaching
from engine.run.run import Run
from engine.store.disk import Disk
from engine.store.memory import Memory
from engine.store.store import Result, Store
from engine.store.tiered import Tiered
from engine.values import Json, Packed, Part, Value
from tests.engine.small_nodes import Bench, graph_of

PATIENCE = 60.0
"""Seconds after which a test fails that would otherwise wait for ever."""


class World:
    """What the nodes of a test do and see."""

    def __init__(self) -> None:
        self.next_began = threading.Event()
        self.began_while_packing: list[bool] = []
        self.packed: Counter[int] = Counter()
        self.on_device = 0
        self.most_on_device = 0
        self.delay = 0.0
        self.waits = False
        self.lock = threading.Lock()


WORLD = World()


@dataclass(frozen=True, eq=False)
class Picture(Value, wire="SavingPicture", lossless=True):
    """A picture whose encoding can wait until the next step has begun."""

    pixels: Any

    def pack(self) -> Packed:
        number = int(self.pixels[0])
        WORLD.packed[number] += 1
        if WORLD.waits:
            WORLD.began_while_packing.append(WORLD.next_began.wait(PATIENCE))
        time.sleep(WORLD.delay)
        return Packed(self.wire, None, (Part("0", "image/png", b"%d" % number),))

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Picture:
        return cls(np.array([int(parts["0"])]))


@dataclass(frozen=True, eq=False)
class Numbers(Value, wire="SavingNumbers", lossless=True):
    """A tensor, into which a careless node could write."""

    tensor: Any

    def pack(self) -> Packed:
        WORLD.began_while_packing.append(WORLD.next_began.is_set())
        return Packed(self.wire, int(self.tensor[0]))

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Numbers:
        return cls(torch.tensor([meta]))


class OnDevice:
    """Counts the steps that use the device at once."""

    def __enter__(self) -> None:
        with WORLD.lock:
            WORLD.on_device += 1
            WORLD.most_on_device = max(WORLD.on_device, WORLD.most_on_device)

    def __exit__(self, *error: object) -> None:
        with WORLD.lock:
            WORLD.on_device -= 1


class Paint(Node, accelerator=True):
    """Make a picture on the device."""

    n: int

    def run(self, ctx: Context) -> Picture:
        with OnDevice():
            return Picture(np.array([self.n]))


class Repaint(Node, accelerator=True):
    """Change a picture on the device."""

    picture: Picture

    def run(self, ctx: Context) -> int:
        WORLD.next_began.set()
        with OnDevice():
            return int(self.picture.pixels[0]) + 1


class Count(Node, accelerator=True):
    """Make a tensor on the device."""

    n: int

    def run(self, ctx: Context) -> Numbers:
        return Numbers(torch.tensor([self.n]))


class CountOn(Node, accelerator=True):
    """Read a tensor on the device."""

    numbers: Numbers

    def run(self, ctx: Context) -> int:
        WORLD.next_began.set()
        return int(self.numbers.tensor[0]) + 1


class Alone(Node, accelerator=True):
    """Use the device for something else."""

    n: int

    def run(self, ctx: Context) -> int:
        with OnDevice():
            WORLD.next_began.set()
            return self.n


REGISTRY = Registry([Paint, Repaint, Count, CountOn, Alone])
FIRST_AND_NEXT = graph_of(
    {"paint": ("Paint", {"n": 1}), "next": ("Repaint", {"picture": {"from": "paint.out"}})},
    {"picture": "paint.out", "number": "next.out"},
)


@pytest.fixture(autouse=True)
def world() -> World:
    WORLD.__init__()  # type: ignore[misc]
    return WORLD


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    warnings: list[str] = []
    tiered = Tiered(Memory(1 << 24), Disk(tmp_path / "store", 1 << 24, warnings.append))
    yield tiered
    tiered.close()
    assert not warnings


def test_a_step_takes_a_picture_that_is_still_being_encoded(world: World, store: Store) -> None:
    world.waits = True
    bench = Bench(store, REGISTRY)
    report = bench.run(FIRST_AND_NEXT)
    assert report.state == "done"
    assert world.began_while_packing == [True]
    assert world.packed == {1: 1}, "the delivered bytes are those that were stored"
    assert {name: packed.parts for name, packed in report.outputs.items()} == {
        "picture": (Part("0", "image/png", b"1"),),
        "number": (),
    }
    kinds: list[Event] = [event for event in bench.events if isinstance(event, Started | Done)]
    assert [type(event).__name__ for event in kinds].count("Done") == 2
    began = next(n for n, event in enumerate(kinds) if isinstance(event, Started) and event.node == "next")
    stored = next(n for n, event in enumerate(kinds) if isinstance(event, Done) and event.node == "paint")
    assert began < stored, "a step is done when its result is stored"
    again = bench.run(FIRST_AND_NEXT)
    assert {node: one.state for node, one in again.nodes.items()} == {"paint": "cached", "next": "cached"}


def test_another_step_uses_the_device_meanwhile(world: World, store: Store) -> None:
    world.waits = True
    graph = graph_of(
        {"paint": ("Paint", {"n": 1}), "other": ("Alone", {"n": 2})},
        {"picture": "paint.out", "number": "other.out"},
    )
    assert Bench(store, REGISTRY).run(graph).state == "done"
    assert world.began_while_packing == [True]


def test_a_tensor_is_stored_before_a_node_can_write_into_it(world: World, store: Store) -> None:
    graph = graph_of(
        {"count": ("Count", {"n": 1}), "next": ("CountOn", {"numbers": {"from": "count.out"}})},
        {"number": "next.out"},
    )
    assert Bench(store, REGISTRY).run(graph).state == "done"
    assert world.began_while_packing == [False]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_list_of_pictures_is_made_one_at_a_time_and_delivered_in_order(
    world: World, store: Store, workers: int
) -> None:
    world.delay = 0.002
    numbers = list(range(40))
    graph = graph_of(
        {"paint": ("Paint", {"n": numbers}), "next": ("Repaint", {"picture": {"from": "paint.out"}})},
        {"pictures": "paint.out", "numbers": "next.out"},
    )
    delivered: list[bytes] = []

    def take(output: str, step: Step, packed: Packed) -> None:
        if output == "pictures":
            delivered.extend(part.data for part in packed.parts)

    bench = Bench(store, REGISTRY, workers=workers, take=take)
    assert bench.run(graph).state == "done"
    assert delivered == [b"%d" % n for n in numbers]
    assert world.packed == dict.fromkeys(numbers, 1)
    assert world.most_on_device == 1


class Faulty(ResultCaching):
    """Fails to save."""

    def finish(self, step: Step, result: Result | None) -> None:
        super().finish(step, result)
        if step.id == "paint":
            raise OSError("the disk is gone")


def test_a_result_that_cannot_be_saved_fails_its_step_alone(store: Store) -> None:
    bench = Bench(store, REGISTRY)
    plan = bench.plan(FIRST_AND_NEXT)
    run = Run(
        plan,
        store,
        files=bench.files,
        residency=Residency(1 << 20),
        emit=bench.events.append,
        lifecycles=[Faulty(store)],
    )
    report = run.run()
    assert report.state == "failed"
    assert {node: one.state for node, one in report.nodes.items()} == {"paint": "failed", "next": "done"}
