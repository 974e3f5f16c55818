"""Little memory: a budget below what the models need, and memory that runs out at any allocation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engine import settings
from engine.document.graph import Literal
from engine.events import Event
from engine.run.step_runner import StepRunner
from engine.session import Session
from engine.sources import source
from tests.nodes.conftest import GRAPHS, output, warnings
from tests.nodes.sd.families.small import small_model

DRAW = source.load(GRAPHS / "text_to_image.json")
REFINE = source.load(GRAPHS / "sdxl_refiner.json")
SMALL: dict[str, Any] = {"steps": 1, "width": 64, "height": 64}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with small models of SDXL and its refiner."""
    home = tmp_path_factory.mktemp("home")
    (home / "models" / "checkpoints").mkdir(parents=True)
    for file, family in (("base", "sdxl"), ("refiner", "sdxl-refiner")):
        small_model(family).save_file(home / "models" / "checkpoints" / f"{file}.safetensors")
    return home


def opened(home: Path, **given: Any) -> Session:
    """A session that stores nothing, so that every run computes everything."""
    return Session(settings.load(home, device="cpu", disk_budget=0, memory_budget=0, **given))


def held(session: Session) -> int:
    return sum(row.size for row in session.residency.ledger())


def test_with_half_the_bytes_that_the_models_need_the_picture_is_the_same(place: Path) -> None:
    values: dict[str, Any] = {
        "base": "base",
        "refiner": "refiner",
        "width": 64,
        "height": 64,
        "total_steps": 2,
        "switch": 1,
    }
    with opened(place) as session:
        whole = output(session.run(REFINE, values)).pixels
        needed = held(session)
        sizes = {row.identity: row.size for row in session.residency.ledger()}
    assert len(sizes) == 5, "two UNets, two pairs of text encoders, one VAE"
    budget = needed // 2
    assert max(sizes.values()) < budget
    over: list[int] = []
    with opened(place, loaded_budget=budget) as session:
        ledger_of = session.residency.ledger

        def look(event: Event) -> None:
            rows = ledger_of()
            assert all(row.size == sizes[row.identity] for row in rows), "exact bytes"
            pinned = sum(row.size for row in rows if row.pinned)
            if sum(row.size for row in rows) > max(budget, pinned):
                over.append(sum(row.size for row in rows))

        report = session.run(REFINE, values, emit=look)
        assert np.array_equal(output(report).pixels, whole)
        assert not over
        assert 0 < held(session) <= budget


class Allocator(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Stands for an allocator that fails: at the allocation of a number, or for large results."""

    def __init__(self, fails_at: int | None = None, most_bytes: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = self.failures = 0
        self._fails_at, self._most_bytes = fails_at, most_bytes

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if any(result.alias_info for result in func._schema.returns):
            return made  # a view, or its own argument
        size = max((leaf.nbytes for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor)), default=0)
        if size == 0:
            return made
        self.count += 1
        if self.count == self._fails_at or (self._most_bytes is not None and size > self._most_bytes):
            self.failures += 1
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes.")
        return made


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, Allocator], Allocator]]:
    """Gives the steps of one node an allocator."""
    allocators: dict[str, Allocator] = {}
    run_node: Any = StepRunner._run_node

    def run(self: StepRunner, step: Any, node: Any, context: Any) -> object:
        if (allocator := allocators.get(step.id)) is None:
            return run_node(self, step, node, context)
        with allocator:
            return run_node(self, step, node, context)

    def give(step: str, allocator: Allocator) -> Allocator:
        allocators[step] = allocator
        return allocator

    monkeypatch.setattr(StepRunner, "_run_node", run)
    yield give
    allocators.clear()


def test_memory_that_runs_out_at_any_operation_costs_one_try(
    tmp_path: Path, failing: Callable[[str, Allocator], Allocator]
) -> None:
    """Row 10 of the fault matrix: the picture is the same, nothing stays pinned, and the next run is fine."""
    with opened(tmp_path) as session:
        counted = {node: failing(node, Allocator()) for node in ("positive", "denoise", "decode")}
        expected = output(session.run(DRAW, SMALL)).pixels
        before = {row.identity: row.size for row in session.residency.ledger()}
        for share in (0.02, 0.7):  # of the allocations of the node, which begins by loading its model
            session.residency.free("cpu")
            allocators = []
            for node, allocator in counted.items():
                assert allocator.count > 100
                allocators.append(failing(node, Allocator(1 + int(share * (allocator.count - 1)))))
            report = session.run(DRAW, SMALL)
            assert [allocator.failures for allocator in allocators] == [1, 1, 1]
            assert np.array_equal(output(report).pixels, expected)
            rows = session.residency.ledger()
            assert not any(row.pinned for row in rows)
            assert all(before[row.identity] == row.size for row in rows)


def wide(**more: Any) -> dict[str, Any]:
    return {**SMALL, "width": 384, "height": 128, **more}


def test_a_picture_that_does_not_fit_is_decoded_in_tiles_and_not_stored(
    tmp_path: Path, failing: Callable[[str, Allocator], Allocator]
) -> None:
    tile, channels = 128 * 128, 32
    with Session(settings.load(tmp_path, device="cpu")) as session:
        made = source.load(GRAPHS / "text_to_image.json")
        made.nodes["decode"].inputs["tiled"] = Literal(True)
        tiled = output(session.run(made, wide())).pixels
        allocator = failing("decode", Allocator(most_bytes=int(1.5 * tile * channels * 4)))
        events: list[Event] = []
        report = session.run(DRAW, wide(), emit=events.append)
        assert allocator.failures == 3, "once more after freeing what is cached, and after evicting the UNet"
        assert np.array_equal(output(report).pixels, tiled)
        assert len(warnings(events)) == 1
        again = session.run(DRAW, wide())
        assert again.nodes["denoise"].state == "cached"
        assert again.nodes["decode"].state == "done", "the key stands for the picture without tiles"


def test_a_step_that_never_fits_names_what_it_needs_and_the_next_run_is_fine(
    tmp_path: Path, failing: Callable[[str, Allocator], Allocator]
) -> None:
    with opened(tmp_path) as session:
        allocator = failing("denoise", Allocator(most_bytes=1000))
        report = session.run(DRAW, SMALL)
        problem = report.nodes["denoise"].problem
        assert problem is not None
        assert (problem.code, bool(problem.hint)) == ("out_of_memory", True)
        assert allocator.failures > 1
        assert not any(row.pinned for row in session.residency.ledger())
        failing("denoise", Allocator())
        assert session.run(DRAW, SMALL).state == "done"
