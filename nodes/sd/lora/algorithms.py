"""The formulas of each kind of LoRA.

`W` is the weight to change: [out, in], or [out, in, height, width] for a convolution. Unless its docstring
says otherwise, a function returns the change of W at strength 1, before the factor alpha / rank, in the dtype
of its arguments."""

from __future__ import annotations

import torch
from torch import Tensor


def lora(up: Tensor, down: Tensor) -> Tensor:
    """Low rank (arXiv:2106.09685): up [o, r, …] times down [r, i, …], as [o, rest]."""
    return up.flatten(1) @ down.flatten(1)


def tucker(up: Tensor, mid: Tensor, down: Tensor) -> Tensor:
    """LoCon with a core: up [o, n], mid [n, m, kh, kw], down [m, i], as [o, i, kh, kw]."""
    return torch.einsum("on,nmkl,mi->oikl", up.flatten(1), mid, down.flatten(1))


def loha(first: Tensor, second: Tensor) -> Tensor:
    """Hadamard product of two low-rank matrices (arXiv:2108.06098)."""
    return first * second


def loha_core(core: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """One of the two factors of a LoHa weight with a core, [o, r, kh, kw], from core [i, j, kh, kw], a [i, o]
    and b [j, r]."""
    return torch.einsum("ijkl,jr,ip->prkl", core, b, a)


def lokr(first: Tensor, second: Tensor) -> Tensor:
    """Kronecker product (arXiv:2212.10650): first [o1, i1], second [o2, i2] or [o2, i2, kh, kw]."""
    first = first.reshape(*first.shape, *[1] * (second.ndim - first.ndim))
    return torch.kron(first.contiguous(), second.contiguous())


def lokr_core(core: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The second factor of a LoKr weight with a core, from core [i, j, kh, kw], a [i, o2] and b [j, i2]."""
    return torch.einsum("ijkl,ip,jr->prkl", core, a, b)


def ia3(W: Tensor, scale: Tensor, on_input: bool) -> Tensor:
    """Multiply each row of W (each column if `on_input`) by one element of `scale` (arXiv:2205.05638)."""
    sides = [1] * W.ndim
    sides[1 if on_input else 0] = -1
    return W * scale.reshape(sides)


def glora(W: Tensor, a1: Tensor, a2: Tensor, b1: Tensor, b2: Tensor) -> Tensor:
    """W·a1·a2 + b1·b2 (arXiv:2306.07967): a1 [i, r], a2 [r, i], b1 [o, r], b2 [r, i], as [o, i]."""
    return W.flatten(1) @ a1 @ a2 + b1 @ b2


def dora(W: Tensor, delta: Tensor, magnitude: Tensor, per_column: bool) -> Tensor:
    """DoRA (arXiv:2402.09353): W + delta, scaled to the lengths in `magnitude`, minus W.

    Args:
        W: the weight.
        delta: the change of the LoRA inside it, including the factor alpha / rank.
        magnitude: the length of each output row, or of each input column.
        per_column: True for columns. Files of kohya and LyCORIS have either, those of peft only rows.
    """
    sum_ = W + delta
    kept = 1 if per_column else 0
    others = [side for side in range(W.ndim) if side != kept]
    # As in section 4.3 of the paper, the gradient does not pass through the length.
    length = torch.linalg.vector_norm(sum_.detach(), dim=others, keepdim=True)
    sides = [1] * W.ndim
    sides[kept] = -1
    scaled: Tensor = sum_ * (magnitude.reshape(sides) / length.clamp_min(torch.finfo(W.dtype).tiny))
    return scaled - W


def rotations(blocks: Tensor, limit: float | None) -> Tensor:
    """Cayley's rotations (I + Q)(I - Q)⁻¹ of the skew parts Q of blocks [..., n, n].

    Args:
        blocks: square blocks, [..., n, n].
        limit: the largest norm of all Q together; larger ones are scaled down. None for no limit.
    """
    skew = blocks - blocks.mT
    if limit is not None:
        length = torch.linalg.vector_norm(skew)
        skew = skew * (limit / length.clamp_min(limit))
    one = torch.eye(skew.shape[-1], dtype=skew.dtype, device=skew.device)
    turned: Tensor = torch.linalg.solve(one - skew, one + skew, left=False)
    return turned


def oft(W: Tensor, turned: Tensor) -> Tensor:
    """Rotate blocks of W's rows (arXiv:2306.07280): turned [k, n, n] with k·n = o; W'ₘ = Σₙ Rₙₘ Wₙ."""
    rows = W.reshape(*turned.shape[:2], -1)
    return torch.einsum("knm,knx->kmx", turned, rows).reshape(W.shape)


def boft(W: Tensor, turned: Tensor) -> Tensor:
    """Rotate W's rows in butterfly rounds (arXiv:2311.06243): turned [rounds, k, b, b]."""
    rounds, _, side, _ = turned.shape
    rows = W.flatten(1)
    for number in range(rounds):
        half = 2**number * side // 2
        mixed = rows.reshape(-1, 2, half, rows.shape[1]).transpose(1, 2).reshape(-1, side, rows.shape[1])
        mixed = torch.einsum("kij,kjx->kix", turned[number], mixed)
        rows = mixed.reshape(-1, half, 2, rows.shape[1]).transpose(1, 2).reshape(rows.shape)
    return rows.reshape(W.shape)
