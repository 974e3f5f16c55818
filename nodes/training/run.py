"""Runs a training inside a step of a graph: checkpoints, metrics, samples, validation, user requests."""

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
"""A checkpoint is saved when the last one is this old, or after `Intervals.checkpoint` steps."""
MOST_REPORTED = 2000
"""The most earlier steps that a resumed training reports again."""
_STATE = re.compile(r"state-(\d+)\.pt")


class MadeFile(NamedTuple):
    """A file to publish."""

    name: str
    data: bytes


class Trained(Protocol):
    """The interface of a training job for `TrainingRun`.

    `TrainingRun` calls `copies`, `samples` and `validation_loss` while the weights are those that the
    training would return, such as averaged ones.
    """

    def problem(self, step: int) -> str | None:
        """Return why the weights are unusable, such as their size; None if they are usable.

        Called after each step.
        """
        ...

    def copies(self, step: int) -> Iterable[MadeFile]:
        """Return the weights as files for other programs, with the number of steps done in their names."""
        ...

    def last_good(self) -> Iterable[MadeFile]:
        """Return files of the last usable weights that were kept; empty if there are none."""
        ...

    def samples(self) -> Iterable[tuple[object, str]]:
        """Draw sample pictures; yields each with its caption."""
        ...

    def validation_loss(self) -> float | None:
        """Compute the loss of the held-out pictures; None if there are none."""
        ...


@dataclass(frozen=True)
class Intervals:
    """The intervals between actions, in steps; 0 for never."""

    checkpoint: int = 0
    copy: int = 0
    sample: int = 0
    validate: int = 0
    patience: int = 0
    """The number of validations without a better loss after which training ends; 0 for no limit."""
    keep_best: bool = False
    """True to return the weights with the best validation loss instead of the last ones."""


class Row(NamedTuple):
    """One step of the training in its history: number, loss, learning rate and gradient norm."""

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
        training: the training loop, which may continue from a checkpoint.
        trained: the training job.
        intervals: the intervals between actions.
    """

    def __init__(self, ctx: Context, training: Training, trained: Trained, intervals: Intervals) -> None:
        import torch

        self._ctx, self._trained, self._intervals = ctx, trained, intervals
        self.training = training
        kept = training.kept
        self.history = [Row(int(row[0]), *row[1:]) for row in kept.get("history", torch.zeros(0, 4)).tolist()]
        """The steps that are done."""
        self.validations: list[tuple[int, float]] = [
            (int(n), loss) for n, loss in kept.get("validations", [])
        ]
        """The steps at which the validation loss was measured, each with the loss."""
        self.best: int | None = kept.get("best")
        """The step of the best validation loss."""
        self.stopped_early: bool = kept.get("stopped", False)
        """Whether the training ended early because the validation loss did not improve."""
        self._saved_step, self._saved_time = training.done, time.monotonic()
        self._copied = 0

    @property
    def keeps_best(self) -> bool:
        """Whether the result has the weights with the best validation loss instead of the last ones."""
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
                steps = training.steps(loss)
                for step in self._ctx.track(
                    steps, training.total, done=training.done, unit="steps", stage="training"
                ):
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
        """Report at most `MOST_REPORTED` of the earlier steps, and the step at which training continues."""
        apart = -(-len(self.history) // MOST_REPORTED)
        for row in self.history[::-1][::apart][::-1] if apart else []:
            self._ctx.metrics(step=row.step, loss=row.loss, rate=row.rate, gradient=row.gradient)
        for step, loss in self.validations:
            self._ctx.metrics(step=step, validation_loss=loss)
        self._ctx.metrics(step=self.training.done, resumed=1)

    def _publish_state(self) -> None:
        """Publish the final state, from which a longer training can continue."""
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
        """Publish the weights as files, unless those of this step are published already."""
        number = self.training.done
        if number == self._copied:
            return
        with self.training.evaluation():
            self.publish(self._trained.copies(number))
        self._copied = number

    def _validate(self) -> None:
        """Measure the validation loss, keep the best weights, and decide whether training ends early."""
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
        """Add the history, the validations and their best step to the values kept in the checkpoint."""
        import torch

        kept = self.training.kept
        kept["history"] = torch.tensor(self.history, dtype=torch.float64).reshape(-1, len(Row._fields))
        kept["validations"] = [list(row) for row in self.validations]
        kept["best"], kept["stopped"] = self.best, self.stopped_early

    def _save(self) -> None:
        """Save a checkpoint. If that fails, warn, keep the previous one, and continue the training."""
        self._saved_time = time.monotonic()
        self._keep()
        try:
            self.training.save()
        except OSError as error:
            self._ctx.warn(
                f"the checkpoint at step {self.training.done} cannot be saved: {error.strerror or error};"
                f" the last saved one is of step {self._saved_step}"
            )
            return
        self._saved_step = self.training.done
        self._ctx.checkpoint(self.training.done)

    def publish(self, files: Iterable[MadeFile]) -> None:
        """Publish files; warn about each one that cannot be written."""
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
    """Copy the state of a finished shorter training to the checkpoint file, unless that file exists.

    Args:
        ctx: the context of the step, which knows the files of shorter trainings.
        file: the checkpoint file of this training.
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
