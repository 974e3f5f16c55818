"""Every kind of LoRA against its formula, written out in float64 and in loops where that is plainer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from nodes.sd.lora.adapter import Misfit
from nodes.sd.lora.file import lora
from tests import matrix

Array = NDArray[np.float64]
SECTION = "Kinds of LoRA, against their formulas in float64"
SHAPES = {"linear": (12, 8), "convolution 1x1": (12, 8, 1, 1), "convolution 3x3": (12, 8, 3, 3)}


def rand(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def f64(tensor: Tensor) -> Array:
    return np.asarray(tensor.double().numpy())


def compare(
    parts: dict[str, Tensor],
    shape: tuple[int, ...],
    expected: Callable[[Array], Array],
    case: str,
    rule: str,
) -> None:
    """The change of a weight, by our reader and by a formula."""
    (adapter,) = lora({f"x.{part}": tensor for part, tensor in parts.items()}, {}, "test").adapters.values()
    W = rand(99, *shape)
    adapter.check(shape, biased=True)
    change = f64(adapter.delta(W))
    wanted = expected(f64(W))
    assert change.shape == wanted.shape == shape
    error = float(np.abs(change - wanted).max() / np.abs(wanted).max())
    assert error < 2e-6
    strong = f64(adapter.added(W, -0.6, torch.empty(W.shape)))
    assert np.abs(strong - (f64(W) - 0.6 * wanted)).max() < 1e-5 * np.abs(wanted).max()
    matrix.record(SECTION, case, rule, error=error)


def low_rank(up: Tensor, down: Tensor) -> Array:
    return f64(up).reshape(up.shape[0], -1) @ f64(down).reshape(down.shape[0], -1)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("alpha", [None, 0.0, 3.0])
@pytest.mark.parametrize("half", [False, True])
def test_lora(name: str, alpha: float | None, half: bool) -> None:
    shape = SHAPES[name]
    tail = (1, 1) if len(shape) == 4 else ()
    up, down = rand(1, 12, 4, *tail), rand(2, 4, *shape[1:])
    if half:
        up, down = up.half(), down.half()
    parts = {"lora_up.weight": up, "lora_down.weight": down}
    if alpha is not None:
        parts["alpha"] = torch.tensor(alpha)
    factor = 1.0 if alpha is None else alpha / 4
    if alpha == 0:
        (adapter,) = lora({f"x.{part}": t for part, t in parts.items()}, {}, "test").adapters.values()
        assert torch.equal(adapter.added(rand(9, *shape), 0.7, torch.empty(shape)), rand(9, *shape))
        return
    compare(
        parts,
        shape,
        lambda W: (low_rank(up, down) * factor).reshape(shape),
        f"LoRA, {name}",
        "alpha/r · up·down",
    )


def test_a_scale_overrides_alpha() -> None:
    up, down = rand(1, 12, 4), rand(2, 4, 8)
    parts = {
        "lora_up.weight": up,
        "lora_down.weight": down,
        "alpha": torch.tensor(1.0),
        "scale": torch.tensor(2.5),
    }
    compare(parts, (12, 8), lambda W: 2.5 * low_rank(up, down), "LoRA with a scale", "scale · up·down")


def test_flat_factors_for_a_1x1_kernel_and_the_other_way_round() -> None:
    flat = {"lora_up.weight": rand(1, 12, 4), "lora_down.weight": rand(2, 4, 8)}
    product = low_rank(*flat.values())
    case = "LoRA, linear keys for a 1x1 convolution and back"
    compare(flat, (12, 8, 1, 1), lambda W: product.reshape(12, 8, 1, 1), case, "reshape")
    kernels = {name: tensor[..., None, None] for name, tensor in flat.items()}
    compare(kernels, (12, 8), lambda W: product, case, "reshape")


def test_tucker() -> None:
    up, mid, down = rand(1, 12, 4, 1, 1), rand(2, 4, 3, 3, 3), rand(3, 3, 8, 1, 1)
    parts = {
        "lora_up.weight": up,
        "lora_mid.weight": mid,
        "lora_down.weight": down,
        "alpha": torch.tensor(6.0),
    }

    def expected(W: Array) -> Array:
        change = np.zeros_like(W)
        for k in range(3):
            for h in range(3):
                change[:, :, k, h] = f64(up)[:, :, 0, 0] @ f64(mid)[:, :, k, h] @ f64(down)[:, :, 0, 0]
        return 6 / 3 * change

    compare(parts, (12, 8, 3, 3), expected, "LoCon with a core (Tucker)", "alpha/r · Σ up·mid·down")


@pytest.mark.parametrize("name", SHAPES)
def test_loha(name: str) -> None:
    shape = SHAPES[name]
    inputs = int(np.prod(shape[1:]))
    a1, b1, a2, b2 = rand(1, 12, 4), rand(2, 4, inputs), rand(3, 12, 4), rand(4, 4, inputs)
    parts = {"hada_w1_a": a1, "hada_w1_b": b1, "hada_w2_a": a2, "hada_w2_b": b2, "alpha": torch.tensor(2.0)}
    compare(
        parts,
        shape,
        lambda W: (0.5 * low_rank(a1, b1) * low_rank(a2, b2)).reshape(shape),
        f"LoHa, {name}",
        "alpha/r · (a₁b₁) ⊙ (a₂b₂)",
    )


def test_loha_with_cores() -> None:
    parts = {
        "hada_t1": rand(1, 4, 4, 3, 3),
        "hada_w1_a": rand(2, 4, 12),
        "hada_w1_b": rand(3, 4, 8),
        "hada_t2": rand(4, 4, 4, 3, 3),
        "hada_w2_a": rand(5, 4, 12),
        "hada_w2_b": rand(6, 4, 8),
        "alpha": torch.tensor(1.0),
    }

    def factor(number: int) -> Array:
        t, a, b = (f64(parts[f"hada_{part}"]) for part in (f"t{number}", f"w{number}_a", f"w{number}_b"))
        made = np.zeros((12, 8, 3, 3))
        for k in range(3):
            for h in range(3):
                made[:, :, k, h] = a.T @ t[:, :, k, h] @ b
        return made

    compare(
        parts, (12, 8, 3, 3), lambda W: 0.25 * factor(1) * factor(2), "LoHa with cores", "alpha/r · F₁ ⊙ F₂"
    )


def kron(first: Array, second: Array) -> Array:
    """Kronecker's product over the first two sides."""
    (o1, i1), (o2, i2) = first.shape, second.shape[:2]
    made = np.zeros((o1 * o2, i1 * i2, *second.shape[2:]))
    for o in range(o1):
        for i in range(i1):
            made[o * o2 : (o + 1) * o2, i * i2 : (i + 1) * i2] = first[o, i] * second
    return made


@pytest.mark.parametrize(
    ("first", "second", "shape"),
    [
        ("whole", "whole", (12, 8)),
        ("whole", "low rank", (12, 8)),
        ("low rank", "low rank", (12, 8)),
        ("low rank", "whole", (12, 8)),
        ("whole", "whole", (12, 8, 3, 3)),
        ("whole", "low rank", (12, 8, 3, 3)),
        ("whole", "with a core", (12, 8, 3, 3)),
    ],
)
def test_lokr(first: str, second: str, shape: tuple[int, ...]) -> None:
    tail, parts = shape[2:], {"alpha": torch.tensor(6.0)}
    if first == "whole":
        parts["lokr_w1"] = rand(1, 3, 2)
        left = f64(parts["lokr_w1"])
    else:
        parts |= {"lokr_w1_a": rand(1, 3, 2), "lokr_w1_b": rand(2, 2, 2)}
        left = f64(parts["lokr_w1_a"]) @ f64(parts["lokr_w1_b"])
    if second == "whole":
        parts["lokr_w2"] = rand(3, 4, 4, *tail)
        right = f64(parts["lokr_w2"])
    elif second == "low rank":
        parts |= {"lokr_w2_a": rand(3, 4, 2), "lokr_w2_b": rand(4, 2, 4 * int(np.prod(tail)))}
        right = (f64(parts["lokr_w2_a"]) @ f64(parts["lokr_w2_b"])).reshape(4, 4, *tail)
    else:
        parts |= {"lokr_t2": rand(5, 2, 2, *tail), "lokr_w2_a": rand(3, 2, 4), "lokr_w2_b": rand(4, 2, 4)}
        core, a, b = (f64(parts[f"lokr_{part}"]) for part in ("t2", "w2_a", "w2_b"))
        right = np.stack([np.stack([a.T @ core[:, :, k, h] @ b for h in range(3)], -1) for k in range(3)], -2)
    factor = 1 if first == second == "whole" else 6 / 2
    name = "convolution" if tail else "linear"
    compare(
        parts,
        shape,
        lambda W: factor * kron(left, right),
        f"LoKr, {name}, {first} ⊗ {second}",
        "both whole: scale 1; else alpha/r",
    )


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("on_input", [False, True])
def test_ia3(name: str, on_input: bool) -> None:
    shape = SHAPES[name]
    vector = rand(1, 8 if on_input else 12)

    def expected(W: Array) -> Array:
        changed = W.copy()
        for place in range(len(vector)):
            if on_input:
                changed[:, place] *= f64(vector)[place]
            else:
                changed[place] *= f64(vector)[place]
        return changed

    parts = {"weight": vector, "on_input": torch.tensor(on_input)}
    compare(parts, shape, expected, f"IA³, {name}, {'inputs' if on_input else 'outputs'}", "W · w")


@pytest.mark.parametrize("shape", SHAPES.values())
def test_a_full_difference_is_added_to_the_weight(shape: tuple[int, ...]) -> None:
    diff = rand(1, *shape)
    compare({"diff": diff}, shape, lambda W: f64(diff), "full difference", "diff")


def test_norm_and_biases() -> None:
    parts = {
        "x.w_norm": rand(1, 12),
        "x.b_norm": rand(2, 12),
        "y.diff": rand(3, 12, 8),
        "y.diff_b": rand(4, 12),
    }
    read = lora(parts, {}, "test").adapters
    assert torch.equal(read["x"].delta(torch.zeros(12)), parts["x.w_norm"])
    for prefix, part in (("x", "b_norm"), ("y", "diff_b")):
        change = read[prefix].bias_delta()
        assert change is not None
        assert torch.equal(change, parts[f"{prefix}.{part}"])
    matrix.record(SECTION, "norm layers, and biases", "added to weight and bias", error=0.0)


@pytest.mark.parametrize("age", ["new", "old"])
def test_glora(age: str) -> None:
    a1, a2, b1, b2 = rand(1, 8, 4), rand(2, 4, 8), rand(3, 12, 4), rand(4, 4, 8)
    names = ("a1", "a2", "b1", "b2") if age == "new" else ("a2", "a1", "b2", "b1")
    parts = {f"{name}.weight": t for name, t in zip(names, (a1, a2, b1, b2), strict=True)}
    parts["alpha"] = torch.tensor(2.0)
    compare(
        parts,
        (12, 8),
        lambda W: 0.5 * (W @ f64(a1) @ f64(a2) + f64(b1) @ f64(b2)),
        f"GLoRA, {age} order",
        "alpha/r · (W·a₁·a₂ + b₁·b₂)",
    )


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("side", ["rows", "columns"])
@pytest.mark.parametrize("below", ["LoRA", "LoHa", "LoKr"])
def test_dora(name: str, side: str, below: str) -> None:
    shape = SHAPES[name]
    inputs = int(np.prod(shape[1:]))
    parts: dict[str, Tensor] = {"alpha": torch.tensor(2.0)}
    if below == "LoRA":
        up, down = rand(1, 12, 4, *(1 for _ in shape[2:])), rand(2, 4, *shape[1:])
        parts |= {"lora_up.weight": up, "lora_down.weight": down}
        change = 0.5 * low_rank(up, down)
    elif below == "LoHa":
        sides = [rand(1, 12, 4), rand(2, 4, inputs), rand(3, 12, 4), rand(4, 4, inputs)]
        parts |= dict(zip(("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"), sides, strict=True))
        change = 0.5 * low_rank(*sides[:2]) * low_rank(*sides[2:])
    else:
        first, second = rand(1, 3, 2), rand(2, 4, 4, *shape[2:])
        parts |= {"lokr_w1": first, "lokr_w2": second}
        change = kron(f64(first), f64(second))
    length = rand(5, *((12, 1) if side == "rows" else (1, 8)), *(1 for _ in shape[2:])).abs()
    parts["dora_scale"] = length

    def expected(W: Array) -> Array:
        whole = W + change.reshape(shape)
        made = np.zeros_like(W)
        for place in range(12 if side == "rows" else 8):
            part = whole[place] if side == "rows" else whole[:, place]
            turned = f64(length).flatten()[place] * part / np.sqrt((part**2).sum())
            if side == "rows":
                made[place] = turned
            else:
                made[:, place] = turned
        return made - W

    case = f"DoRA over {below}, {name}, lengths of {side}"
    compare(parts, shape, expected, case, "m · (W+Δ)/‖W+Δ‖ - W")


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("alpha", "case"), [(0.0, "free"), (1e-2, "limited"), (9.0, "within its limit")])
def test_oft(name: str, alpha: float, case: str) -> None:
    shape = SHAPES[name]
    blocks, rescale = rand(1, 3, 4, 4) * 0.3, rand(2, 12, *(1 for _ in shape[1:])).abs()
    parts = {"oft_blocks": blocks, "alpha": torch.tensor(alpha), "rescale": rescale}
    skew = f64(blocks) - f64(blocks).transpose(0, 2, 1)
    if alpha and np.sqrt((skew**2).sum()) > np.float32(alpha) * 12:
        skew *= np.float32(alpha) * 12 / np.sqrt((skew**2).sum())

    def expected(W: Array) -> Array:
        made = np.zeros_like(W)
        for block in range(3):
            R = (np.eye(4) + skew[block]) @ np.linalg.inv(np.eye(4) - skew[block])
            for m in range(4):
                for n in range(4):
                    made[4 * block + m] += R[n, m] * W[4 * block + n]
        return made * f64(rescale) - W

    compare(parts, shape, expected, f"OFT, {name}, {case}", "R = (I+Q)(I-Q)⁻¹, ‖Q‖ ≤ alpha·o")


@pytest.mark.parametrize("name", SHAPES)
def test_boft(name: str) -> None:
    shape = (16, *SHAPES[name][1:])
    blocks = rand(1, 3, 4, 4, 4) * 0.3
    skew = f64(blocks) - f64(blocks).swapaxes(-1, -2)

    def expected(W: Array) -> Array:
        rows = W.copy()
        for step in range(3):
            half = 2**step * 2
            # Row c·2·half + g·half + n comes to place c·2·half + n·2 + g.
            order = [
                c * 2 * half + g * half + n
                for c in range(16 // (2 * half))
                for n in range(half)
                for g in range(2)
            ]
            mixed = rows[order]
            turned = np.zeros_like(mixed)
            for block in range(4):
                R = (np.eye(4) + skew[step, block]) @ np.linalg.inv(np.eye(4) - skew[step, block])
                turned[4 * block : 4 * block + 4] = np.tensordot(R, mixed[4 * block : 4 * block + 4], 1)
            rows = np.empty_like(turned)
            rows[order] = turned
        return rows - W

    parts = {"oft_blocks": blocks, "alpha": torch.tensor(0.0)}
    compare(parts, shape, expected, f"BOFT, {name}", "rounds of regrouped rotations")


@pytest.mark.parametrize(
    "parts",
    [
        {"lora_up.weight": rand(1, 12, 4), "lora_down.weight": rand(2, 5, 8)},
        {"lora_up.weight": rand(1, 8, 4), "lora_down.weight": rand(2, 4, 12)},
        {"lora_up.weight": rand(1, 12, 4), "lora_down.weight": rand(2, 4, 9)},
        {"lora_up.weight": rand(1, 12, 4), "lora_down.weight": rand(2, 4, 8), "dora_scale": rand(3, 11, 1)},
        {
            "hada_w1_a": rand(1, 12, 4),
            "hada_w1_b": rand(2, 4, 8),
            "hada_w2_a": rand(3, 12, 4),
            "hada_w2_b": rand(4, 4, 1),
        },
        {"lokr_w1": rand(1, 4096, 4096), "lokr_w2": rand(2, 4, 4)},
        {"lokr_w1": rand(1, 12), "lokr_w2": rand(2, 8)},
        {"weight": rand(1, 11), "on_input": torch.tensor(0)},
        {"diff": rand(1, 8, 12)},
        {
            "a1.weight": rand(1, 5, 4),
            "a2.weight": rand(2, 4, 5),
            "b1.weight": rand(3, 12, 4),
            "b2.weight": rand(4, 4, 8),
        },
        {"oft_blocks": rand(1, 5, 4, 4)},
        {"oft_blocks": rand(1, 12, 4)},
        {"oft_blocks": rand(1, 6, 3, 4, 4)},
        {"diff": rand(1, 12, 8), "diff_b": rand(2, 8)},
    ],
)
def test_a_misfit_is_found_before_the_change_is_computed(parts: dict[str, Tensor]) -> None:
    (adapter,) = lora({f"x.{part}": tensor for part, tensor in parts.items()}, {}, "test").adapters.values()
    with pytest.raises(Misfit):
        adapter.check((12, 8), biased=True)


def test_cut_keeps_only_the_first_ranks() -> None:
    up, down = rand(1, 12, 4), rand(2, 4, 8)
    parts = {"x.lora_up.weight": up, "x.lora_down.weight": down, "x.alpha": torch.tensor(2.0)}
    (adapter,) = lora(parts, {}, "test").adapters.values()
    change = f64(adapter.cut(3).delta(torch.zeros(12, 8)))
    assert np.allclose(change, 0.5 * f64(up)[:, :3] @ f64(down)[:3], atol=1e-6)  # alpha / 4, not / 3
    assert adapter.cut(4) is adapter
    assert adapter.cut(None) is adapter
