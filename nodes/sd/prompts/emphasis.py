"""How weights act: on the rows that the text encoder answers with."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Emphasis = Literal["original", "no_norm", "ignore"]


def scaled(rows: Tensor, weights: Tensor, emphasis: Emphasis = "original") -> Tensor:
    """Rows as A1111 weights them: multiplied.

    Args:
        rows: one chunk, [1, 77, width].
        weights: of each place, [77].
        emphasis: `original` then scales the whole chunk so that its mean is what it was, `no_norm` does not,
            `ignore` leaves the rows as they are.
    """
    if emphasis == "ignore" or bool((weights == 1).all()):
        return rows
    weighted = rows * weights[None, :, None]
    return weighted if emphasis == "no_norm" else weighted * (rows.mean() / weighted.mean())


def drawn_from(empty: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """Rows as ComfyUI weights them: moved away from, or towards, those of the empty prompt.

    Args:
        empty: the chunk without words, [1, 77, width].
        rows: one chunk, likewise.
        weights: of each place, [77].
    """
    weight = weights[None, :, None]
    return rows.where(weight == 1, empty + weight * (rows - empty))
