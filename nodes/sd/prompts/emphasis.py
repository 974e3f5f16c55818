"""Applies the weights of tokens to the output of the text encoder."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Emphasis = Literal["original", "no_norm", "ignore"]


def scaled(rows: Tensor, weights: Tensor, emphasis: Emphasis = "original") -> Tensor:
    """Multiply rows by their weights, as A1111 does.

    Args:
        rows: the output for one chunk, [1, 77, width].
        weights: the weight of each token, [77].
        emphasis: `original` also scales the chunk back to its original mean, `no_norm` does not; `ignore`
            ignores the weights.
    """
    if emphasis == "ignore" or bool((weights == 1).all()):
        return rows
    weighted = rows * weights[None, :, None]
    return weighted if emphasis == "no_norm" else weighted * (rows.mean() / weighted.mean())


def drawn_from(empty: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """Move rows away from those of the empty prompt, or towards them, as ComfyUI does.

    Args:
        empty: the output for a chunk without words, [1, 77, width].
        rows: the output for one chunk, [1, 77, width].
        weights: the weight of each token, [77].
    """
    weight = weights[None, :, None]
    return rows.where(weight == 1, empty + weight * (rows - empty))
