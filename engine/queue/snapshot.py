"""The state of a run, its steps and its outputs as plain data, for clients that show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from engine.queue.stream_events import RunState
from engine.values import Json

NodeRunState = Literal["planned", "running", "done", "cached", "failed", "skipped", "cancelled", "unneeded"]


@dataclass(slots=True)
class NodeSnapshot:
    """The state of one step of a run; a node that goes through a list has a step for each element."""

    path: str
    """The id of the step, such as `denoise` or `denoise[2]`."""
    type: str = ""
    """The node type with its version."""
    key: str | None = None
    """The content key of the result: equal keys mean equal results. None if the plan did not know it."""
    state: NodeRunState = "planned"
    reason: str | None = None
    """The reason that the step ran, or that its result was reused."""
    value: int | None = None
    """The progress: `value` of `max` units are done."""
    max: int | None = None
    unit: str | None = None
    """What is counted, in the plural."""
    stage: str | None = None
    """The part of the step's work that is counted, if it has several."""
    ms: float | None = None
    cache: str | None = None
    """Where the result came from: `none` (computed), `memory` or `disk`."""
    because: str | None = None
    """For `skipped`: the id of the step whose result is missing."""
    problem: dict[str, str | None] | None = None
    """For `failed`: the fields of `errors.Problem`."""
    trace: str | None = None
    """For `failed`: the Python traceback."""
    warnings: list[str] = field(default_factory=list)
    preview: str | None = None
    """The id of the latest preview picture; see `EventLog.preview`."""
    memory: dict[str, Any] | None = None
    """The peak memory; None if it was not measured."""
    outputs: list[dict[str, str]] | None = None
    """The name, type and summary of each output, if the run has made them."""
    published: list[dict[str, Any]] | None = None
    """The files that the step has published: name, path and size."""


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """One written file of a declared output."""

    id: int
    run: str
    output: str
    index: tuple[int, ...]
    """The indices of the element in a list output; empty for a single value."""
    values: Mapping[str, Json]
    """The values of the swept inputs for this element, by input."""
    type: str
    """The wire type, such as `Image`."""
    path: Path
    """The file; clients never see or give its path."""
    digest: str
    """The sha256 of the file when it was written."""
    media: str
    size: int
    made: float
    """Seconds since the epoch."""
    title: str
    """The title of the graph."""
    star: bool = False
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file that a step published while it ran, such as a checkpoint of a training."""

    step: str
    name: str
    """The name of the file within the step; it may contain sub-folders."""
    path: Path
    """The file; clients never see or give its path."""
    size: int


@dataclass(frozen=True, slots=True)
class SamplePicture:
    """A sample picture of a training."""

    run: str
    path: str
    """The id of the step, such as `train`."""
    step: int
    """The training step at which it was drawn."""
    caption: str
    digest: str
    """The sha256 of `data`."""
    media: str
    width: int
    height: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """The result of a submission."""

    id: str
    state: RunState
    position: int | None
    """The number of runs before it in the queue; None if it is not waiting."""
    is_new: bool
    """False if an earlier submission with the same idempotency key made this run."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run as it is listed, without its graph."""

    id: str
    number: int
    """Its number in the order of submission; the argument `before` of `RunQueue.runs`."""
    title: str
    document: str | None
    state: RunState
    priority: int
    position: int | None
    """For a queued run: the number of runs before it; otherwise None."""
    submitted: float
    """Seconds since the epoch, like `started` and `finished`."""
    started: float | None
    finished: float | None
    attempts: int
    """The number of times that a worker has started the run."""
    device: str | None
    retry_of: str | None
    """The id of the run that this one repeats; None if it repeats none."""


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """The complete state of one run."""

    summary: RunSummary
    graph: dict[str, Any]
    """The graph as saved in JSON."""
    inputs: dict[str, Any]
    """The values of the graph's inputs as submitted."""
    sweeps: dict[str, Any]
    """The lists of values of the swept inputs."""
    targets: tuple[str, ...]
    nodes: dict[str, NodeSnapshot]
    """The states of the steps, by id."""
    outputs: list[OutputRecord]
    problems: list[dict[str, Any]]
    """The reasons that the run failed or was refused; fields of `errors.Problem`."""
    warnings: list[dict[str, Any]]
    values: dict[str, Any] = field(default_factory=dict)
    """The JSON values of the declared outputs, after the end of the run."""
    last_seq: int = 0
    """The number of the last event that is included; the events that follow are in the stream."""
    report: dict[str, Any] | None = None
    """What the report of the run says beyond the rest: `seconds`, `made_with` and the declared outputs; None
    before the end of the run, or if its worker died."""


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """The state of one worker process."""

    device: str
    pid: int | None
    """The process id; None while no process is running."""
    run: str | None
    """The id of the run that it executes; None while it is idle."""


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """The numbers of waiting and running runs, the reason for a pause, and the workers."""

    running: int
    pending: int
    paused: str | None
    """The reason why no run starts; None if runs start."""
    devices: tuple[DeviceStatus, ...]
