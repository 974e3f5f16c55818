"""Writes the history of a training as an event file of TensorBoard."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nodes.training.run import Row


class MissingTensorBoardError(ImportError):
    """Raised if the package tensorboard is not installed."""


def require_tensorboard() -> None:
    """Check that the package that writes event files is installed.

    Raises:
        MissingTensorBoardError: the package tensorboard is not installed.
    """
    try:
        import_module("tensorboard")
    except ModuleNotFoundError:
        message = "event files need the Python package tensorboard, which is not installed"
        raise MissingTensorBoardError(message) from None


def as_events(history: Sequence[Row], validations: Sequence[tuple[int, float]]) -> bytes:
    """Write the losses, learning rates and gradient norms by step as an event file, and return its bytes.

    Raises:
        MissingTensorBoardError: the package tensorboard is not installed.
    """
    require_tensorboard()
    proto: Any = import_module("tensorboard.compat.proto.event_pb2")
    summary: Any = import_module("tensorboard.compat.proto.summary_pb2")
    file, now = io.BytesIO(), time.time()
    writer = import_module("tensorboard.summary.writer.record_writer").RecordWriter(file)
    writer.write(proto.Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
    rows = [(row.step, {"loss": row.loss, "rate": row.rate, "gradient": row.gradient}) for row in history]
    rows += [(step, {"validation_loss": loss}) for step, loss in validations]
    for step, numbers in sorted(rows, key=lambda row: row[0]):
        values = [summary.Summary.Value(tag=tag, simple_value=number) for tag, number in numbers.items()]
        event = proto.Event(wall_time=now, step=step, summary=summary.Summary(value=values))
        writer.write(event.SerializeToString())
    return file.getvalue()
