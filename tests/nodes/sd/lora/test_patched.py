"""Networks with LoRAs over them: rounded once, in any order, over tensors that stay as they are."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nodes.sd.formats.json_file import ModelError
from nodes.sd.lora.adapter import Adapter
from nodes.sd.lora.file import lora
from nodes.sd.lora.patched import Layer, patched, shared_copy


def rand(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def network(dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(8, 12), nn.Sequential(nn.LayerNorm(12), nn.Linear(12, 4, bias=False)))
    return made.to(dtype).eval().requires_grad_(False)


def adapter(**parts: Tensor) -> Adapter:
    (made,) = lora(
        {f"x.{name.replace('__', '.')}": t for name, t in parts.items()}, {}, "x"
    ).adapters.values()
    return made


def low_rank(seed: int) -> Adapter:
    return adapter(lora_up__weight=rand(seed, 12, 4), lora_down__weight=rand(seed + 1, 4, 8))


def layer(digest: str, strength: float, **adapters: Adapter) -> Layer:
    by = {name.replace("_", "."): one for name, one in adapters.items()}
    return Layer(
        "x", digest, {name[1:]: one for name, one in by.items()}, {name[1:]: strength for name in by}
    )


def test_the_order_makes_no_difference_to_the_last_bit_where_all_are_added() -> None:
    layers = [layer(str(n), 0.3 + n, n0=low_rank(10 * n)) for n in range(4)]
    results = [patched(network(), order)[0][0].weight for order in itertools.permutations(layers)]
    assert all(torch.equal(result, results[0]) for result in results)


def test_the_order_counts_where_a_change_depends_on_the_weight() -> None:
    turned = adapter(weight=rand(5, 12), on_input=torch.tensor(0))
    first, second = layer("1", 0.5, n0=low_rank(1)), layer("2", 0.5, n0=turned)
    W = network()[0].weight.double()
    change = rand(1, 12, 4).double() @ rand(2, 4, 8).double()
    scale = 1 + 0.5 * rand(5, 12, 1).double().flatten()[:, None]
    assert torch.allclose(
        patched(network(), [first, second])[0][0].weight.double(), (W + 0.5 * change) * scale, atol=1e-5
    )
    assert torch.allclose(
        patched(network(), [second, first])[0][0].weight.double(), W * scale + 0.5 * change, atol=1e-5
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(dtype: torch.dtype) -> None:
    base = network(dtype)
    layers = [layer(str(n), 0.01, n0=low_rank(10 * n)) for n in range(8)]
    wanted = base[0].weight.float()
    for n in range(8):
        wanted = wanted + 0.01 * (rand(10 * n, 12, 4) @ rand(10 * n + 1, 4, 8))
    found = patched(base, layers)[0][0].weight
    assert found.dtype == dtype
    assert (found.float() - wanted).abs().max() <= torch.finfo(dtype).eps * wanted.abs().max() / 2 + 1e-6


def test_a_weight_that_overflows_float16_is_an_error() -> None:
    huge = adapter(diff=torch.full((12, 8), 1e5))
    with pytest.raises(ModelError, match="infinite"):
        patched(network(torch.float16), [layer("1", 1.0, n0=huge)])
    patched(network(torch.float32), [layer("1", 1.0, n0=huge)])


def test_norms_and_biases_and_the_bytes_that_are_new() -> None:
    base = network()
    norm = adapter(w_norm=rand(1, 12), b_norm=rand(2, 12))
    made, size = patched(base, [layer("1", 2.0, n1_0=norm)])
    assert torch.allclose(made[1][0].weight, base[1][0].weight + 2 * rand(1, 12))
    assert torch.allclose(made[1][0].bias, base[1][0].bias + 2 * rand(2, 12))
    assert size == 2 * 12 * 4
    assert made[0] is base[0]
    assert made[1][1] is base[1][1]


def test_a_shared_copy_takes_new_modules_without_the_first_s_notice() -> None:
    base = network()
    copy = shared_copy(base, ["1.1"])
    copy[1][1] = nn.Identity()
    x = rand(3, 2, 8)
    assert base(x).shape == (2, 4)
    assert copy(x).shape == (2, 12)
    called: list[int] = []
    copy.register_forward_hook(lambda *given: called.append(1))
    base(x)
    assert not called
