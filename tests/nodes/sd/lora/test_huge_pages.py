"""Tensors in one block of memory: they do not overlap, are aligned, and free it with the last of them."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from nodes.sd.lora import huge_pages
from nodes.sd.lora.patched import patched
from tests.nodes.sd.lora.test_patched import layer, low_rank, network

SHAPES = {"a": (3, 5), "b": (7,), "none": (0, 4), "c": (2, 3, 3, 3)}


def empty_like(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    return huge_pages.empty_like({name: torch.empty(shape) for name, shape in shapes.items()})


@pytest.fixture
def every(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even the smallest tensors are laid into huge pages."""
    monkeypatch.setattr(huge_pages, "_LEAST", 1)


@pytest.mark.usefixtures("every")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_the_tensors_have_the_given_shapes_and_do_not_overlap(dtype: torch.dtype) -> None:
    made = huge_pages.empty_like({name: torch.empty(shape, dtype=dtype) for name, shape in SHAPES.items()})
    for number, (name, shape) in enumerate(SHAPES.items()):
        assert (made[name].shape, made[name].dtype) == (shape, dtype)
        assert made[name].is_contiguous()
        assert made[name].data_ptr() % 64 == 0
        made[name].fill_(number + 1)
    for number, name in enumerate(SHAPES):
        assert (made[name] == number + 1).all()


@pytest.mark.usefixtures("every")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_where_weights_lie_makes_no_difference(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [layer(str(n), 0.3 + n, n0=low_rank(10 * n)) for n in range(3)]
    here, size = patched(network(dtype), layers)
    monkeypatch.setattr(huge_pages, "_LEAST", 1 << 40)
    there, same = patched(network(dtype), layers)
    assert size == same == here[0].weight.nbytes
    assert torch.equal(here[0].weight, there[0].weight)


@pytest.mark.usefixtures("every")
def test_a_block_is_freed_with_its_last_tensor_and_used_again() -> None:
    tensors = empty_like(SHAPES)
    last, place = tensors["c"], tensors["a"].data_ptr()
    del tensors
    assert empty_like(SHAPES)["a"].data_ptr() != place  # `last` still lies in the block
    last.fill_(1)
    del last
    assert empty_like(SHAPES)["a"].data_ptr() == place


@pytest.mark.usefixtures("every")
def test_a_spare_block_that_is_too_small_is_unmapped_first(monkeypatch: pytest.MonkeyPatch) -> None:
    mapped: list[int] = []
    real = mmap.mmap

    class Counted(real):  # type: ignore[misc, valid-type]
        def __init__(self, *given: Any, **more: Any) -> None:
            mapped.append(len(self))

        def __del__(self) -> None:
            mapped.remove(len(self))

    monkeypatch.setattr(mmap, "mmap", Counted)
    monkeypatch.setattr(huge_pages, "_spare", [])
    del empty_like({"small": (3,)})["small"]
    assert len(mapped) == 1
    large = empty_like({"large": (1 << 20,)})["large"]
    assert len(mapped) == 1
    assert mapped[0] > large.nbytes


@pytest.mark.usefixtures("every")
def test_without_huge_pages_they_lie_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*given: Any, **more: Any) -> Any:
        raise OSError

    monkeypatch.setattr(mmap, "mmap", none)
    monkeypatch.setattr(huge_pages, "_spare", [])
    made = huge_pages.empty_like({name: torch.ones(shape) for name, shape in SHAPES.items()})
    assert {name: tuple(tensor.shape) for name, tensor in made.items()} == SHAPES
    assert len({tensor.untyped_storage().data_ptr() for tensor in made.values() if tensor.numel()}) == 3
