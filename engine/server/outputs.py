"""Outputs and samples of runs as clients receive them: with URLs in place of paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.queue.snapshot import OutputRecord, SamplePicture
from engine.server.schema import Json


@dataclass(frozen=True, slots=True)
class OutputRow:
    """A written file of a declared output."""

    id: int
    run: str
    output: str
    """The name of the output."""
    index: list[int]
    """The place of the element in a list; empty for a single value."""
    values: Mapping[str, Json]
    """The values of the swept inputs for this element."""
    type: str
    """The wire type, such as `Image`."""
    digest: str
    """The sha256 of the file."""
    media: str
    size: int
    made: float
    """Seconds since the epoch."""
    title: str
    star: bool
    tags: list[str]
    url: str
    """The URL of the file."""


@dataclass(frozen=True, slots=True)
class SampleRow:
    """A sample picture of a training."""

    run: str
    path: str
    """The step that made it."""
    step: int
    """The training step."""
    caption: str
    digest: str
    media: str
    width: int
    height: int
    url: str
    """The URL of the picture."""


def output_row(record: OutputRecord) -> OutputRow:
    """Convert the record of an output for clients."""
    return OutputRow(
        record.id,
        record.run,
        record.output,
        list(record.index),
        record.values,
        record.type,
        record.digest,
        record.media,
        record.size,
        record.made,
        record.title,
        record.star,
        list(record.tags),
        f"/api/v1/outputs/{record.id}/file",
    )


def sample_row(sample: SamplePicture) -> SampleRow:
    """Convert the record of a sample for clients."""
    return SampleRow(
        sample.run,
        sample.path,
        sample.step,
        sample.caption,
        sample.digest,
        sample.media,
        sample.width,
        sample.height,
        f"/api/v1/blobs/{sample.digest}",
    )
