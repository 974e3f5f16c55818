"""Runs a training inside a step: checkpoints, metrics, samples, validation, and user requests."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from engine import whole_file
from engine.context import Context
from engine.errors import Cancelled, NodeError

if TYPE_CHECKING:
    from pathlib import Path

    from nodes.sd.training_loop.loop import Loss, TrainedStep, Training

CHECKPOINT_SECONDS = 60.0
"""A checkpoint is saved when the last one is as old as this, or after the given number of steps."""
MOST_REPORTED = 2000
"""The most steps before a resume that are reported again."""
_STATE = re.compile(r"state-(\d+)\.pt")


class MadeFile(NamedTuple):
    """A file to publish."""

    name: str
    data: bytes


class Trained(Protocol):
    """The interface of a training job for `TrainingRun`.

    While files, samples and validation losses are made, the weights are those that the training would return,
    such as averaged ones.
    """

    def problem(self, step: int) -> str | None:
        """The reason the weights are unusable, such as their size; None if they are usable.

        Called after each step.
        """
        ...

    def copies(self, step: int) -> Iterable[MadeFile]:
        """The weights as files for other programs, named by the number of steps that are done."""
        ...

    def last_good(self) -> Iterable[MadeFile]:
        """The weights of the last step at which `problem` was None, as files."""
        ...

    def samples(self) -> Iterable[tuple[object, str]]:
        """Sample pictures with their captions."""
        ...

    def validation_loss(self) -> float | None:
        """The loss of the pictures that are held out; None if there are none."""
        ...


@dataclass(frozen=True)
class Intervals:
    """The intervals between actions, in steps; 0 for never."""

    checkpoint: int = 0
    copy: int = 0
    sample: int = 0
    validate: int = 0
    patience: int = 0
    """The number of validations without a better loss after which training ends; 0 for any number."""
    keep_best: bool = False
    """True to return the weights with the best validation loss instead of the last ones."""


class Row(NamedTuple):
    """A step of the training in the history."""

    step: int
    loss: float
    rate: float
    gradient: float


class TrainingRun:
    """Runs a training: its steps, and between them the previews, samples, validations and checkpoints.

    The history, the validations and the best weights are kept in the checkpoint, so that a resumed training
    ends with the same result.

    Args:
        ctx: the context of the step.
        training: the training, which may have been resumed.
        trained: the training job.
        intervals: the intervals between actions.
    """

    def __init__(self, ctx: Context, training: Training, trained: Trained, intervals: Intervals) -> None:
        import torch

        self._ctx, self._trained, self._intervals = ctx, trained, intervals
        self.training = training
        kept = training.kept
        self.history = [Row(int(row[0]), *row[1:]) for row in kept.get("history", torch.zeros(0, 4)).tolist()]
        """Each step that is done."""
        self.validations: list[tuple[int, float]] = [
            (int(n), loss) for n, loss in kept.get("validations", [])
        ]
        """The validation losses by step."""
        self.best: int | None = kept.get("best")
        """The step of the best validation loss."""
        self.stopped_early: bool = kept.get("stopped", False)
        """Whether training ended because the validation loss did not improve."""
        self._saved_step, self._saved_time = training.done, time.monotonic()
        self._copied = 0

    @property
    def keeps_best(self) -> bool:
        """Whether the result is not the weights of the last step, but those of the best validation loss."""
        return self._intervals.keep_best and self.best is not None

    def run(self, loss: Loss) -> None:
        """Take the remaining steps.

        Raises:
            Cancelled: the user has requested a stop; a checkpoint is saved, and the weights are published.
            NodeError: the loss or the weights have become unusable; the last good weights are published.
        """
        from nodes.sd.training_loop.loop import NotFiniteError

        training = self.training
        if training.done == 0:
            self._validate()
        else:
            self._report_history()
        try:
            if not self.stopped_early:
                for step in self._ctx.track(training.steps(loss), training.total, done=training.done):
                    self._after(step)
                    if self.stopped_early:
                        break
        except Cancelled:
            self._save()
            self._publish_copies()
            raise
        except NotFiniteError as error:
            self._save()
            raise self._failed(str(error), "not_finite") from None
        self._publish_state()
        if not self.validations or self.validations[-1][0] != training.done:
            self._validate()  # not part of the state, since a longer training does not validate here
        if self.keeps_best:
            training.restore_weights(training.kept["best weights"])
        else:
            training.finish()

    def _report_history(self) -> None:
        """Report the steps before this run, at most `MOST_REPORTED`, and the place at which it continues."""
        apart = -(-len(self.history) // MOST_REPORTED)
        for row in self.history[::-1][::apart][::-1] if apart else []:
            self._ctx.metrics(step=row.step, loss=row.loss, rate=row.rate, gradient=row.gradient)
        for step, loss in self.validations:
            self._ctx.metrics(step=step, validation_loss=loss)
        self._ctx.metrics(step=self.training.done, resumed=1)

    def _publish_state(self) -> None:
        """Publish the state at the end, from which a training of more steps continues."""
        if self.training.done:
            self._keep()
            self.publish([MadeFile(f"state-{self.training.done:06}.pt", self.training.state())])

    def _after(self, step: TrainedStep) -> None:
        """Perform the actions that are due after a step."""
        number = step.number
        self.history.append(Row(number, step.loss, step.rate, step.gradient))
        self._ctx.metrics(step=number, loss=step.loss, rate=step.rate, gradient=step.gradient)
        if (problem := self._trained.problem(number)) is not None:
            raise self._failed(f"{problem} in step {number}; lower the learning rate", "diverged")
        due = self._intervals
        requests = self._ctx.requests()
        if _due(due.validate, number):
            self._validate()
        if _due(due.sample, number) or "sample" in requests:
            with self.training.evaluation():
                for picture, caption in self._trained.samples():
                    self._ctx.sample(picture, number, caption)
        if _due(due.copy, number):
            self._publish_copies()
        if "stop" in requests:
            raise Cancelled
        old = time.monotonic() - self._saved_time > CHECKPOINT_SECONDS
        if _due(due.checkpoint, number) or old or "checkpoint" in requests:
            self._save()

    def _publish_copies(self) -> None:
        """Publish the weights as files, unless those of this step are published."""
        number = self.training.done
        if number == self._copied:
            return
        with self.training.evaluation():
            self.publish(self._trained.copies(number))
        self._copied = number

    def _validate(self) -> None:
        """Measure the validation loss, and keep the best weights."""
        if not self._intervals.validate:
            return
        with self.training.evaluation():
            loss = self._trained.validation_loss()
        if loss is None:
            return
        number = self.training.done
        before = [earlier for _, earlier in self.validations]
        self.validations.append((number, loss))
        self._ctx.metrics(step=number, validation_loss=loss)
        if not before or loss < min(before):
            self.best = number
            self.training.kept["best weights"] = self.training.weights_to_use()
        elif self._intervals.patience:
            since = sum(1 for step, _ in self.validations if self.best is None or step > self.best)
            self.stopped_early = since >= self._intervals.patience

    def _keep(self) -> None:
        """Add the history, the validations and the best weights to the checkpoint."""
        import torch

        kept = self.training.kept
        kept["history"] = torch.tensor(self.history, dtype=torch.float64).reshape(-1, len(Row._fields))
        kept["validations"] = [list(row) for row in self.validations]
        kept["best"], kept["stopped"] = self.best, self.stopped_early

    def _save(self) -> None:
        """Save a checkpoint. If that fails, the previous one stays and the training continues."""
        self._saved_time = time.monotonic()
        self._keep()
        try:
            self.training.save()
        except OSError as error:
            self._ctx.warn(
                f"the checkpoint at step {self.training.done} cannot be saved: {error.strerror or error};"
                f" the last one is that of step {self._saved_step}"
            )
            return
        self._saved_step = self.training.done
        self._ctx.checkpoint(self.training.done)

    def publish(self, files: Iterable[MadeFile]) -> None:
        """Publish files. One that cannot be written is a warning."""
        for file in files:
            try:
                self._ctx.publish(file.name, file.data)
            except OSError as error:
                self._ctx.warn(f"{file.name} cannot be written: {error.strerror or error}")

    def _failed(self, message: str, code: str) -> NodeError:
        good = list(self._trained.last_good())
        self.publish(good)
        hint = "the last good weights are among the published files" if good else "use a lower `rate`"
        return NodeError(message, hint=hint, input="rate", code=code)


def continue_from_shorter(ctx: Context, file: Path, steps: int) -> None:
    """Continue from the state of a finished shorter training, if there is no checkpoint yet.

    Args:
        ctx: the context of the step.
        file: the checkpoint.
        steps: the number of steps of this training.
    """
    if file.exists():
        return
    states = [
        (int(match[1]), found.path)
        for found in ctx.lineage_files()
        if (match := _STATE.fullmatch(found.name)) and int(match[1]) <= steps
    ]
    if states:
        whole_file.copy(max(states)[1], file)


def _due(interval: int, number: int) -> bool:
    return interval > 0 and number % interval == 0
