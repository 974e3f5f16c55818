"""The training loop: takes steps, averages the weights, and resumes from a checkpoint to the same bits."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from engine import whole_file
from nodes.sd.training_loop.random_sources import RandomSources
from nodes.sd.training_loop.weight_average import WeightAverage


class Batch(NamedTuple):
    """The place of a batch in a training."""

    number: int
    """The number of batches before it."""
    progress: float
    """The fraction of completed steps, from 0 to 1."""


Loss = Callable[[RandomSources, Batch], Tensor]
"""Computes the loss of one batch: a scalar. Arguments: the random sources, and the place of the batch."""

Rate = Callable[[int], float]
"""The learning rate of a step, counted from 0."""


class TrainedStep(NamedTuple):
    """A completed training step."""

    number: int
    """The number of completed steps, including this one."""
    loss: float
    """The loss before the step, averaged over the accumulated batches."""
    rate: float
    """The learning rate."""
    gradient: float
    """The norm of the gradient, before it is clipped."""


class NotFiniteError(ArithmeticError):
    """Raised if the loss or the gradient is NaN or infinite. The weights are those of the step before.

    Args:
        step: the step that failed, counted from 1.
        what: `loss` or `gradient`.
    """

    def __init__(self, step: int, what: str = "loss") -> None:
        super().__init__(f"the {what} is not finite in step {step}; lower the learning rate")
        self.step = step
        self.what = what


class Clip(NamedTuple):
    """The limit of gradients."""

    kind: Literal["norm", "value"]
    """`norm` scales the whole gradient down to the limit; `value` cuts each number of it."""
    limit: Rate
    """The limit of a step, counted from 0."""


MakeOptimizer = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
"""Makes an optimizer for groups of weights, each with its `params` and learning rate `lr`."""


@runtime_checkable
class AveragingOptimizer(Protocol):
    """An optimizer that averages the weights itself, such as schedule-free AdamW (arXiv:2405.15682)."""

    def train(self) -> None:
        """Switch from the averaged weights to the weights that are trained."""
        ...

    def eval(self) -> None:
        """Switch from the weights that are trained to their average."""
        ...


def cosine(rate: float, steps: int, warmup: int = 100) -> Rate:
    """Make a learning rate that rises linearly for `warmup` steps, then falls to 0 along half a cosine."""

    def at(step: int) -> float:
        return rate * min(1, (step + 1) / warmup) * (0.5 + 0.5 * math.cos(math.pi * step / steps))

    return at


def adamw(weight_decay: float = 0.01, betas: tuple[float, float] = (0.9, 0.99)) -> MakeOptimizer:
    """AdamW (arXiv:1711.05101)."""
    return lambda groups: torch.optim.AdamW(groups, betas=betas, weight_decay=weight_decay)


class Training:
    """Trains modules for a fixed number of steps.

    The loop does not know what it trains: networks, LoRA layers, or the vectors of an embedding in an
    `nn.ParameterDict`. Iterate over `steps` to train; stop iterating to pause; call `save` at any step, and
    `finish` at the end. A training that is constructed with the file of an earlier one continues from there,
    with the same results as without the interruption.

    Args:
        modules: the modules to train, by name. The names go into the checkpoint.
        file: the checkpoint. If it exists, training continues from it. `save` keeps the checkpoint before it,
            too, in case the file is damaged.
        steps: the total number of steps.
        rate: the learning rate of each step.
        seed: the seed of the random sources.
        rates: for some of the modules, a learning rate of each step in place of `rate`.
        accumulate: the number of batches whose gradients are averaged for one step.
        optimizer: makes the optimizer.
        clip: the limit of gradients; None for no limit.
        decay: the decay of the averaged weights, see `WeightAverage`; None for no average.
        after_step: called after each step of the optimizer, to limit the weights.
        loss_scale: what the loss is multiplied by before the gradient is computed, so that small gradients do
            not become 0 in float16. If the gradient overflows, the scale is halved and the step is taken once
            more with the same data and noise.

    Raises:
        ValueError: the checkpoint has modules with other names or shapes.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        file: Path,
        *,
        steps: int,
        rate: Rate,
        seed: int,
        rates: Mapping[str, Rate] | None = None,
        accumulate: int = 1,
        optimizer: MakeOptimizer | None = None,
        clip: Clip | None = Clip("norm", lambda step: 1.0),  # noqa: B008  # it is immutable
        decay: float | None = 0.995,
        after_step: Callable[[], None] | None = None,
        loss_scale: float = 1.0,
    ) -> None:
        self.modules = dict(modules)
        self.file = file
        self.total = steps
        self.rate = rate
        self.done = 0
        """The number of steps that are done."""
        self.random = RandomSources.seeded(seed)
        self.kept: dict[str, Any] = {}
        """Data of the caller that the checkpoint saves: numbers, texts, tensors, and lists and dicts of
        these."""
        self._accumulate, self._clip, self._after_step = accumulate, clip, after_step
        self.loss_scale = loss_scale
        self._rates = [(rates or {}).get(name, rate) for name in self.modules]
        groups: list[dict[str, Any]] = [
            {"params": [weight for weight in module.parameters() if weight.requires_grad], "lr": at(0)}
            for module, at in zip(self.modules.values(), self._rates, strict=True)
        ]
        self.weights: list[Tensor] = [weight for group in groups for weight in group["params"]]
        self.average = None if decay is None else WeightAverage(self.weights, decay)
        self.optimizer = (optimizer or adamw())(groups)
        if isinstance(self.optimizer, AveragingOptimizer):
            self.optimizer.train()
        self._resume()

    @property
    def is_finished(self) -> bool:
        """Whether the last step is done."""
        return self.done >= self.total

    def steps(self, loss: Loss) -> Iterator[TrainedStep]:
        """Take the remaining steps one by one.

        Raises:
            NotFiniteError: the loss or the gradient of a step is NaN or infinite.
        """
        for module in self.modules.values():
            module.train()
        while not self.is_finished:
            yield self._step(loss)

    def finish(self) -> None:
        """Replace the weights by their averages, and switch the modules to evaluation."""
        self.restore_weights(self.weights_to_use())

    def weights_to_use(self) -> list[Tensor]:
        """Copy the weights as `finish` would leave them: averaged, if the training averages weights."""
        if self.average is not None:
            return _copies(self.average.mean)
        if not isinstance(self.optimizer, AveragingOptimizer):
            return _copies(self.weights)
        own = _copies(self.weights)
        self.optimizer.eval()
        used = _copies(self.weights)
        self.optimizer.train()
        self._put(own)  # since `train` restores them only up to rounding
        return used

    def restore_weights(self, weights: Sequence[Tensor]) -> None:
        """Finish with other weights, such as the best of several copies."""
        self._put(weights)
        for module in self.modules.values():
            module.eval()

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """Inside a `with` block, use the weights as `finish` would leave them, such as for a sample."""
        own = _copies(self.weights)
        self.restore_weights(self.weights_to_use())
        try:
            yield
        finally:
            self._put(own)
            for module in self.modules.values():
                module.train()

    @torch.no_grad()
    def _put(self, weights: Sequence[Tensor]) -> None:
        for weight, value in zip(self.weights, weights, strict=True):
            weight.copy_(value)

    def save(self) -> None:
        """Write the checkpoint atomically: if the process is killed, the old checkpoint stays."""
        previous = self._previous
        if self.file.exists():
            with suppress(FileNotFoundError):
                previous.unlink()
            try:
                os.link(self.file, previous)
            except OSError:  # a file system without links
                whole_file.copy(self.file, previous)
        whole_file.replace(self.file, self.state())

    def state(self) -> bytes:
        """Return the content of a checkpoint: all state that the following steps depend on."""
        state = {
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "mean": None if self.average is None else self.average.mean,
            "optimizer": self.optimizer.state_dict(),
            "step": self.done,
            "random": self.random.state(),
            "loss_scale": self.loss_scale,
            "kept": self.kept,
        }
        file = io.BytesIO()
        torch.save(state, file)
        return file.getvalue()

    @property
    def _previous(self) -> Path:
        return self.file.with_name(f"{self.file.stem}-previous{self.file.suffix}")

    def _resume(self) -> None:
        """Continue from the checkpoint, or from the one before it if the file is damaged."""
        for file in (self.file, self._previous):
            try:
                state: dict[str, Any] = torch.load(file, weights_only=True)
            except FileNotFoundError:
                continue
            except (RuntimeError, OSError, EOFError, KeyError, UnpicklingError):
                continue  # a power cut may leave a damaged file
            self._restore(state, file)
            return

    def _restore(self, state: dict[str, Any], file: Path) -> None:
        if state["modules"].keys() != self.modules.keys():
            names, needed = ", ".join(state["modules"]), ", ".join(self.modules)
            raise ValueError(f"{file} contains the modules {names}; this training needs {needed}")
        try:
            for name, module in self.modules.items():
                module.load_state_dict(state["modules"][name])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[:2][-1].strip()  # torch puts a heading into the first line
            raise ValueError(f"{file} does not match this training: {reason}") from None
        if self.average is not None:
            self.average.mean = state["mean"]
        self.done = state["step"]
        self.kept = state["kept"]
        self.loss_scale = state["loss_scale"]
        self.random.restore(state["random"])

    def _step(self, loss: Loss) -> TrainedStep:
        random = self.random.state()
        while True:
            self.optimizer.zero_grad(set_to_none=True)
            try:
                total, gradient = self._backward(loss)
                break
            except NotFiniteError as error:
                self.random.restore(random)  # so that a checkpoint saved now is that of the step before
                if error.what != "gradient" or self.loss_scale <= 1:
                    raise
                self.loss_scale /= 2
        rate = self.rate(self.done)
        for group, at in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = at(self.done)
        self.optimizer.step()
        if self._after_step is not None:
            with torch.no_grad():
                self._after_step()
        self.done += 1
        if self.average is not None:
            self.average.update(self.done)
        return TrainedStep(self.done, total, rate, gradient)

    def _backward(self, loss: Loss) -> tuple[float, float]:
        """Compute the gradient of a step; return the loss and the norm of the gradient.

        Raises:
            NotFiniteError: the loss or the gradient is NaN or infinite.
        """
        total = 0.0
        for part in range(self._accumulate):
            place = Batch(self.done * self._accumulate + part, self.done / self.total)
            value = loss(self.random, place) / self._accumulate
            total += value.item()
            if not math.isfinite(total):
                raise NotFiniteError(self.done + 1)
            (value * self.loss_scale).backward()  # type: ignore[no-untyped-call]
        return total, self._limited_gradient()

    def _limited_gradient(self) -> float:
        """Limit the gradient; return its norm before the limit was applied.

        Raises:
            NotFiniteError: the gradient is NaN or infinite.
        """
        gradients = [weight.grad for weight in self.weights if weight.grad is not None]
        if self.loss_scale != 1:
            for gradient in gradients:
                gradient.div_(self.loss_scale)
        norm = nn.utils.get_total_norm(gradients)
        if not math.isfinite(norm):
            raise NotFiniteError(self.done + 1, "gradient")
        if self._clip is not None:
            limit = self._clip.limit(self.done)
            if self._clip.kind == "norm":
                nn.utils.clip_grads_with_norm_(self.weights, limit, norm)
            else:
                nn.utils.clip_grad_value_(self.weights, limit)
        return float(norm)


def _copies(weights: Sequence[Tensor]) -> list[Tensor]:
    return [weight.detach().clone() for weight in weights]
