"""The state of a run, its nodes and its outputs as plain data, for the pages and programs that show them."""

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
    """The state of one step of a run; a node that goes through a list has one for each element."""

    path: str
    """The id of the step, such as `denoise` or `denoise[2]`."""
    type: str = ""
    """The node type with its version."""
    state: NodeRunState = "planned"
    reason: str | None = None
    """Why the step ran, or why its result was reused."""
    value: int | None = None
    """The progress: `value` of `max` units."""
    max: int | None = None
    ms: float | None = None
    cache: str | None = None
    """Where the result came from: `none` (computed), `memory` or `disk`."""
    because: str | None = None
    """For `skipped`: the step that has no result."""
    problem: dict[str, str | None] | None = None
    """For `failed`: the fields of `errors.Problem`."""
    trace: str | None = None
    """For `failed`: the traceback."""
    warnings: list[str] = field(default_factory=list)
    preview: str | None = None
    """The id of the latest preview picture; see `EventLog.preview`."""
    memory: dict[str, Any] | None = None
    """The peak memory, if it was measured."""
    published: list[dict[str, Any]] | None = None
    """The files that the step has published: name, path and size."""


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """One written file of a declared output."""

    id: int
    run: str
    output: str
    index: tuple[int, ...]
    """The place of the element in a list; empty for a single value."""
    values: Mapping[str, Json]
    """The values of the swept inputs for this element."""
    type: str
    """The wire type, such as `Image`."""
    path: Path
    """The file; a client never sees or names it."""
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
    """A file that a step has published while it ran, such as a checkpoint of a training."""

    step: str
    name: str
    """Its name within the step, which may have sub-folders."""
    path: Path
    """The file; a client never sees or names it."""
    size: int


@dataclass(frozen=True, slots=True)
class SamplePicture:
    """A sample picture of a training."""

    run: str
    path: str
    step: int
    caption: str
    digest: str
    """The sha256 of `data`."""
    media: str
    width: int
    height: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """The answer to a submission."""

    id: str
    state: RunState
    position: int | None
    """The number of runs before it; None if it no longer waits."""
    is_new: bool
    """False if an earlier submission with the same idempotency key made this run."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run in a list."""

    id: str
    number: int
    """The order of submission; `RunQueue.runs` takes it as `before`."""
    title: str
    document: str | None
    state: RunState
    priority: int
    position: int | None
    """For a queued run: the number of runs before it."""
    submitted: float
    """Seconds since the epoch, like `started` and `finished`."""
    started: float | None
    finished: float | None
    attempts: int
    """How often a worker has begun with the run."""
    device: str | None
    retry_of: str | None
    """The run that this one repeats."""


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """Everything about one run."""

    summary: RunSummary
    graph: dict[str, Any]
    """The graph as saved in JSON."""
    inputs: dict[str, Any]
    """The values of the graph's inputs as submitted."""
    sweeps: dict[str, Any]
    """The lists of values of the swept inputs."""
    targets: tuple[str, ...]
    nodes: dict[str, NodeSnapshot]
    """The steps by id."""
    outputs: list[OutputRecord]
    problems: list[dict[str, Any]]
    """The reasons that the run failed or was refused; fields of `errors.Problem`."""
    warnings: list[dict[str, Any]]
    values: dict[str, Any] = field(default_factory=dict)
    """After the end: the JSON values of the declared outputs."""
    last_seq: int = 0
    """Events up to this number are contained; follow the stream from here."""


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """One worker process."""

    device: str
    pid: int | None
    """None while no process runs."""
    run: str | None
    """The run that it executes."""


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """The numbers of waiting and running runs, the reason for a pause, and the workers."""

    running: int
    pending: int
    paused: str | None
    """The reason why no run starts; None if runs start."""
    devices: tuple[DeviceStatus, ...]
