"""The state of AdamW for the vectors of an embedding, and A1111's `.optim` files that hold it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.read import read_tensors
from nodes.sd.formats.tensors import Named, Tensors

SUFFIX = ".optim"
"""The suffix of A1111's file with the state of the optimizer, after the name of the embedding file."""


@dataclass(frozen=True, eq=False)
class AdamState:
    """Adam's state for the vectors of one text encoder: the moving averages of their gradient."""

    steps: int
    mean: Tensor
    """The average of the gradient, float32 [n, width]."""
    square: Tensor
    """The average of the squared gradient, float32 [n, width]."""

    @classmethod
    def from_torch(cls, state: dict[str, Any]) -> Self:
        """Convert the state that `torch.optim.AdamW` has for a weight."""
        mean, square = (state[name].detach().float().cpu().clone() for name in ("exp_avg", "exp_avg_sq"))
        return cls(int(state["step"]), mean, square)

    def as_torch(self, like: Tensor) -> dict[str, Tensor]:
        """Convert to the state that `torch.optim.AdamW` has for the weight `like`, on its device."""
        return {
            "step": torch.tensor(float(self.steps)),
            "exp_avg": self.mean.to(like.device, copy=True),
            "exp_avg_sq": self.square.to(like.device, copy=True),
        }


def checksum(vectors: Tensor) -> str:
    """Compute A1111's checksum of vectors, 4 hex digits: the `hash` in an `.optim` file."""
    result = 0
    for number in (vectors.detach().cpu().float().reshape(-1) * 100).tolist():
        result = (result * 281 ^ int(number) * 997) & 0xFFFFFFFF
    return f"{result & 0xFFFF:04x}"


def as_optim(vectors: Tensor, state: AdamState, rate: float = 0.005) -> bytes:
    """Write an `.optim` file, and return its bytes.

    Args:
        vectors: the vectors in the embedding file beside it, [n, width].
        state: Adam's state for these vectors.
        rate: the learning rate to store; A1111 replaces it by its own schedule.
    """
    weight = torch.nn.Parameter(vectors.detach().clone())
    optimizer = torch.optim.AdamW([weight], lr=rate, weight_decay=0.0)
    optimizer.state[weight] = state.as_torch(weight)
    file = io.BytesIO()
    torch.save({"hash": checksum(vectors), "optimizer_state_dict": optimizer.state_dict()}, file)
    return file.getvalue()


def read_optim(path: Path, vectors: Tensor) -> AdamState | None:
    """Read the state in an `.optim` file; None if the state belongs to other vectors.

    No code from the file is executed.

    Args:
        path: the file.
        vectors: the vectors in the embedding file beside it, [n, width].

    Raises:
        BadFileError: the file is damaged or is not an `.optim` file.
    """
    tensors = read_tensors(path)
    tree = tensors.tree
    if not isinstance(tree, dict) or "optimizer_state_dict" not in tree:
        raise BadFileError("not_an_optimizer", f"{path} does not contain the state of an optimizer.")
    if tree.get("hash") != checksum(vectors):
        return None
    try:
        state = tree["optimizer_state_dict"]["state"][0]
        steps = _number(tensors, state["step"])
        mean, square = (tensors[state[name].name].float() for name in ("exp_avg", "exp_avg_sq"))
    except (AttributeError, KeyError, TypeError, IndexError):
        raise BadFileError("not_an_optimizer", f"{path} does not contain the state of AdamW.") from None
    fits = mean.shape == square.shape == vectors.shape
    if not fits or not bool(torch.isfinite(mean).all() & torch.isfinite(square).all() & (square >= 0).all()):
        raise BadFileError("not_an_optimizer", f"{path} contains the state of AdamW for other weights.")
    return AdamState(steps, mean, square)


def _number(tensors: Tensors, step: object) -> int:
    return int(tensors[step.name]) if isinstance(step, Named) else int(step)  # type: ignore[call-overload]
