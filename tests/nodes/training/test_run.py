"""A training inside a step: the best weights, early stop, and the tables and the picture of its history."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image as pillow
from torch import nn

from engine import failpoints
from engine.cancel import Cancel
from engine.context import Context
from engine.errors import Cancelled
from engine.events import Checkpoint, Event, Published, Sample, Warned
from engine.failpoints import Fault
from engine.session import Session
from engine.step_requests import Requests
from engine.testing import open_session
from nodes.sd.training_loop.loop import Batch, Training
from nodes.sd.training_loop.random_sources import RandomSources
from nodes.training.loss_curve import HELD_OUT, as_csv, as_jsonl, draw_curve, smoothed
from nodes.training.run import Intervals, MadeFile, Row, TrainingRun, continue_from_shorter
from nodes.training.tensorboard_log import MissingTensorBoardError, as_events, require_tensorboard


class Number:
    """A number that is trained to grow by 1 in each step; its validation losses are given."""

    def __init__(self, losses: Sequence[float]) -> None:
        self.module = nn.ParameterDict({"x": torch.zeros(())})
        self._losses = iter(losses)

    def problem(self, step: int) -> str | None:
        return None

    def copies(self, step: int) -> Iterable[MadeFile]:
        return [MadeFile(f"copy-{step}", b"weights")]

    def last_good(self) -> Iterable[MadeFile]:
        return []

    def samples(self) -> Iterable[tuple[object, str]]:
        return []

    def validation_loss(self) -> float | None:
        return next(self._losses)


@pytest.fixture
def session(tmp_path: Path) -> Iterable[Session]:
    with open_session(tmp_path) as opened:
        yield opened


@pytest.fixture
def context(session: Session) -> Callable[[], Context]:
    folder = session.step_folders.open("0" * 64)
    return lambda: Context(
        "train", lambda event: None, Cancel(), session.files, session.residency, session.compute,
        folder=lambda: folder,
    )  # fmt: skip


def trained(
    ctx: Context, losses: Sequence[float] | Number, steps: int = 8, **intervals: int | bool
) -> tuple[float, TrainingRun]:
    """Train, with plain steps of size 1."""
    number = losses if isinstance(losses, Number) else Number(losses)
    training = Training(
        {"x": number.module}, ctx.scratch / "state.pt", steps=steps, rate=lambda step: 1.0, seed=0, clip=None,
        optimizer=torch.optim.SGD, decay=None,
    )  # fmt: skip
    run = TrainingRun(ctx, training, number, Intervals(validate=2, **intervals))  # type: ignore[arg-type]
    run.run(lambda draws, place: -number.module["x"])
    return float(number.module["x"].detach()), run


def test_the_best_of_the_validated_weights_are_the_result(context: Callable[[], Context]) -> None:
    value, run = trained(context(), [5, 4, 3, 4, 5], keep_best=True)
    assert (value, run.best) == (4.0, 4)
    assert run.validations == [(0, 5), (2, 4), (4, 3), (6, 4), (8, 5)]


def test_without_it_the_last_weights_are(context: Callable[[], Context]) -> None:
    value, run = trained(context(), [5, 4, 3, 4, 5])
    assert (value, run.best) == (8.0, 4)


def test_training_ends_when_the_validation_loss_does_not_improve(context: Callable[[], Context]) -> None:
    value, run = trained(context(), [5, 4, 6, 6, 1], patience=2)
    assert (value, run.stopped_early, len(run.history)) == (6.0, True, 6)


def test_a_full_disk_at_a_copy_is_a_warning(session: Session) -> None:
    events, folder = list[Event](), session.step_folders.open("5" * 64)

    class Unlucky(Number):
        """The disk is full when the copy of step 4 is written."""

        def copies(self, step: int) -> Iterable[MadeFile]:
            failpoints.disarm()
            if step == 4:
                failpoints.arm(Fault("file.write", 1, "ENOSPC", 1))
            return super().copies(step)

    ctx = Context(
        "train", events.append, Cancel(), session.files, session.residency, session.compute,
        folder=lambda: folder,
    )  # fmt: skip
    try:
        value, _ = trained(ctx, Unlucky([5, 4, 3, 2, 1]), copy=2)
    finally:
        failpoints.disarm()
    assert value == 8
    copies = [event.name for event in events if isinstance(event, Published) if "copy" in event.name]
    assert copies == ["copy-2", "copy-6", "copy-8"]
    assert ["copy-4" in event.message for event in events if isinstance(event, Warned)] == [True]


def test_samples_and_checkpoints_are_made_on_request(session: Session) -> None:
    requests, events, folder = Requests(), list[Event](), session.step_folders.open("4" * 64)

    class Watched(Number):
        """At step 3 the user requests a sample and a checkpoint."""

        def problem(self, step: int) -> str | None:
            if step == 3:
                requests.ask("train", "sample")
                requests.ask("train", "checkpoint")
            return None

        def samples(self) -> Iterable[tuple[object, str]]:
            return [(pillow.new("RGB", (8, 8)), f"x = {float(self.module['x'].detach())}")]

    ctx = Context(
        "train", events.append, Cancel(), session.files, session.residency, session.compute,
        folder=lambda: folder, requests=requests,
    )  # fmt: skip
    value, _ = trained(ctx, Watched([5, 4, 3, 2, 1]))
    assert value == 8
    samples = [(event.step, event.caption) for event in events if isinstance(event, Sample)]
    assert samples == [(3, "x = 3.0")]
    assert [event.step for event in events if isinstance(event, Checkpoint)] == [3]
    state = torch.load(ctx.scratch / "state.pt", weights_only=True)
    assert (state["step"], float(state["modules"]["x"]["x"])) == (3, 3)


def test_a_longer_training_continues_with_the_history(session: Session) -> None:
    lineage = "1" * 64
    shorter, longer = (session.step_folders.open(key * 64, lineage) for key in "23")

    def ctx(folder: object) -> Context:
        return Context(
            "train", lambda event: None, Cancel(), session.files, session.residency, session.compute,
            folder=lambda: folder,  # type: ignore[arg-type, return-value]
        )  # fmt: skip

    value, first = trained(ctx(shorter), [5, 4, 3, 2], steps=5, keep_best=True)
    assert (value, first.validations[-1]) == (5.0, (5, 2))  # the end is no interval of a longer training
    made = ctx(longer)
    continue_from_shorter(made, made.scratch / "state.pt", 8)
    assert (made.scratch / "state.pt").exists()
    value, second = trained(made, [6, 7], steps=8, keep_best=True)
    assert [row.step for row in second.history] == list(range(1, 9))
    assert second.validations == [(0, 5), (2, 4), (4, 3), (6, 6), (8, 7)]
    assert value == 4.0


@pytest.mark.parametrize(("stop", "published"), [(3, ["copy-2", "copy-3"]), (4, ["copy-2", "copy-4"])])
def test_a_stopped_training_publishes_its_weights_once(
    session: Session, stop: int, published: list[str]
) -> None:
    folder, requests, events = session.step_folders.open("4" * 64), Requests(), list[Event]()
    ctx = Context(
        "train", events.append, Cancel(), session.files, session.residency, session.compute,
        folder=lambda: folder, requests=requests,
    )  # fmt: skip
    number = Number([])
    training = Training(
        {"x": number.module}, ctx.scratch / "state.pt", steps=8, rate=lambda step: 1.0, seed=0, clip=None
    )

    def loss(draws: RandomSources, place: Batch) -> torch.Tensor:
        if place.number == stop - 1:
            requests.ask("train", "stop")
        x: torch.Tensor = number.module["x"]
        return -x

    with pytest.raises(Cancelled):
        TrainingRun(ctx, training, number, Intervals(copy=2)).run(loss)
    assert [event.name for event in events if isinstance(event, Published)] == published


HISTORY = [Row(step, 1 / step, 0.005, 0.1) for step in range(1, 7)]


def test_the_tables_hold_each_step() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(HISTORY, 4))))
    assert list(rows[0]) == ["step", "epoch", "epoch_step", "loss", "learn_rate"]
    assert [(row["step"], row["epoch"], row["epoch_step"]) for row in rows][3:] == [
        ("4", "0", "4"), ("5", "1", "1"), ("6", "1", "2"),
    ]  # fmt: skip
    assert rows[2]["loss"] == "0.3333333"
    lines = [json.loads(line) for line in as_jsonl(HISTORY, [(6, 0.2)]).splitlines()]
    assert lines[-1] == {"step": 6, "validation_loss": 0.2}
    assert lines[1] == {"step": 2, "loss": 0.5, "rate": 0.005, "gradient": 0.1}


def test_the_average_of_equal_losses_is_that_loss() -> None:
    assert smoothed([0.5] * 30) == pytest.approx([0.5] * 30)
    assert smoothed([1.0, 0.0]) == pytest.approx([1.0, 0.98 / 1.98])


def test_the_curve_shows_validation_losses_in_their_colour() -> None:
    def orange(validations: list[tuple[int, float]]) -> int:
        return int((np.asarray(draw_curve(HISTORY, validations)) == HELD_OUT).all(2).sum())

    assert orange([]) == 0
    assert orange([(1, 0.9), (6, 0.2)]) > 100
    assert draw_curve([], []).size == draw_curve(HISTORY, []).size


def test_an_event_file_holds_each_step(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    (tmp_path / "events.out.tfevents.x").write_bytes(as_events(HISTORY, [(0, 0.5), (4, 0.25)]))
    found = accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in found.Scalars("validation_loss")] == [(0, 0.5), (4, 0.25)]
    losses = [(event.step, event.value) for event in found.Scalars("loss")]
    assert losses == [(row.step, pytest.approx(row.loss)) for row in HISTORY]
    assert found.Scalars("rate")[0].value == pytest.approx(0.005)


def test_a_missing_tensorboard_is_named() -> None:
    with mock.patch.dict(sys.modules, {"tensorboard": None}), pytest.raises(MissingTensorBoardError):
        require_tensorboard()
