"""The optimizers of a training by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal

import torch
from torch import Tensor

from nodes.sd.training_loop.loop import MakeOptimizer

OptimizerName = Literal["adamw", "adam", "sgd", "lion", "adafactor", "prodigy", "schedulefree"]
PACKAGES = {"prodigy": "prodigyopt", "schedulefree": "schedulefree"}
"""The packages of optimizers that torch does not have; the extra `train` installs them."""

_BETAS = (0.9, 0.999)


class MissingPackageError(ImportError):
    """Raised if the package of an optimizer is not installed.

    Args:
        package: the name of the package for pip.
    """

    def __init__(self, package: str) -> None:
        super().__init__(f"this optimizer needs the Python package {package}, which is not installed")
        self.package = package


def optimizer(name: OptimizerName, weight_decay: float) -> MakeOptimizer:
    """Return a function that makes an optimizer.

    Args:
        name: `adamw` (arXiv:1711.05101), `adam`, `sgd` with momentum 0.9, `lion` (arXiv:2302.06675),
            `adafactor` (arXiv:1804.04235), `prodigy` (arXiv:2306.06101), which finds its rate itself and
            wants the rate 1, or `schedulefree`, AdamW with averaged weights (arXiv:2405.15682).
        weight_decay: how strongly weights are drawn to zero.

    Raises:
        MissingPackageError: the package of the optimizer is not installed.
    """
    make = _maker(name)

    def made(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        # As an option of each group, since Prodigy prints a line if it is an argument.
        return make([{**group, "weight_decay": weight_decay} for group in groups])

    return made


def _maker(name: OptimizerName) -> Callable[[list[dict[str, Any]]], torch.optim.Optimizer]:
    match name:
        case "adamw":
            return lambda groups: torch.optim.AdamW(groups, betas=_BETAS)
        case "adam":
            return lambda groups: torch.optim.Adam(groups, betas=_BETAS)
        case "sgd":
            return lambda groups: torch.optim.SGD(groups, momentum=0.9)
        case "lion":
            return Lion
        case "adafactor":
            return torch.optim.Adafactor
    try:
        package: Any = import_module(PACKAGES[name])
    except ModuleNotFoundError:
        raise MissingPackageError(PACKAGES[name]) from None
    made = package.Prodigy if name == "prodigy" else package.AdamWScheduleFree
    return lambda groups: made(groups, betas=_BETAS)


class Lion(torch.optim.Optimizer):
    """Steps of equal length along the sign of the averaged gradient (arXiv:2302.06675).

    Its rates are three to ten times smaller than those of AdamW.

    Args:
        groups: the weights, with `lr` and `weight_decay`.
        betas: the decay of the average in a step, and that of the average that is kept.
    """

    def __init__(self, groups: list[dict[str, Any]], betas: tuple[float, float] = (0.9, 0.99)) -> None:
        super().__init__(groups, {"betas": betas, "lr": 1e-4, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take a step with the gradients of the weights."""
        for group in self.param_groups:
            first, second = group["betas"]
            for weight in group["params"]:
                gradient: Tensor | None = weight.grad
                if gradient is None:
                    continue
                state = self.state[weight]
                mean = state.setdefault("exp_avg", torch.zeros_like(weight))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(torch.lerp(gradient, mean, first).sign(), alpha=-group["lr"])
                mean.lerp_(gradient, 1 - second)
