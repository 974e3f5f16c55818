"""The events of the server's stream: one envelope, and one class of data for each type of event.

Clients read them at `GET /api/v1/events`. Every event has the envelope of `StreamEvent`; its `type` decides
the class of its `data`, see `EVENTS`. All fields are JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.values import Json

RunState = Literal["queued", "running", "done", "failed", "cancelled", "interrupted", "refused"]
"""The state of a run. `interrupted`: the server was killed while it ran. `refused`: its graph has errors that
the worker found."""
EndState = Literal["done", "failed", "cancelled", "interrupted", "refused"]


@dataclass(frozen=True, slots=True)
class Hello:
    """The first event that a reader receives, and the next one after events that it has missed.

    If `server_id` is new, or `oldest` is greater than the number after the last event received, events were
    missed: take new snapshots of the runs.
    """

    server_id: str
    """Another one after each start of the server; numbers of events compare only within one."""
    seq: int
    """The number of the latest event."""
    oldest: int
    """The number of the oldest event that can be replayed."""
    missed: bool
    """True if events after the one that the reader asked for can no longer be replayed."""


@dataclass(frozen=True, slots=True)
class QueueChanged:
    """The number of runs, or the reason for a pause, has changed."""

    running: int
    pending: int
    paused: str | None
    """The reason why no run starts; None if runs start."""


@dataclass(frozen=True, slots=True)
class RunQueued:
    """A run was accepted, or has moved in the queue."""

    position: int
    """The number of runs before it."""


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """The action of a plan for one node."""

    action: str
    """`run`, `may_run` (decided during the run), `reuse`, `share` (with an equal node) or `unneeded`."""
    type: str
    tier: str | None
    """For `reuse`: `memory` or `disk`."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The run is planned."""

    nodes: Mapping[str, PlannedNode]
    """By node; elements of lists are left out."""
    to_run: int
    """The number of steps to compute."""


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A worker has begun with the run."""

    device: str
    attempt: int
    """1, or more after the death of a worker or a server."""


@dataclass(frozen=True, slots=True)
class RunRetried:
    """The worker of the run has died; the run starts again."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class RunOutput:
    """A file of a declared output was written; the envelope names the node that made it."""

    id: int
    """The id of the output in the history."""
    output: str
    index: tuple[int, ...]
    """The place of the element in a list; empty for a single value."""
    values: Mapping[str, Json]
    """The values of the swept inputs for this element."""
    type: str
    digest: str
    """The sha256 of the file."""
    media: str
    size: int
    """In bytes."""


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run has ended."""

    state: EndState
    ms: float
    ran: int
    """The number of nodes that were computed."""
    reused: int
    """The number of nodes whose results were in the store."""
    code: str | None = None
    """The code of the first problem."""
    message: str | None = None


@dataclass(frozen=True, slots=True)
class NodeStarted:
    """A step of a node starts. A node that goes through a list has one step for each element."""

    path: str
    """The id of the step, such as `denoise[2]` or `upscale/resize`."""
    device: str


@dataclass(frozen=True, slots=True)
class NodeProgress:
    """The progress of a step; at most 10 per second and step, the newest replaces older ones."""

    path: str
    value: int
    max: int | None
    rate: float | None
    """Units per second."""
    eta_ms: float | None
    """The milliseconds until the end, if they can be estimated."""


@dataclass(frozen=True, slots=True)
class NodePreview:
    """A picture of an unfinished result; at most 5 per second and step, the newest replaces older ones."""

    path: str
    id: str
    """The id of the picture; see `EventLog.preview`."""
    width: int
    height: int
    media: str


@dataclass(frozen=True, slots=True)
class NodeDone:
    """A step has its result."""

    path: str
    ms: float
    cache: str
    """Where the result came from: `none` (computed), `memory` or `disk`."""


@dataclass(frozen=True, slots=True)
class NodeFailed:
    """A step has failed."""

    path: str
    code: str
    message: str
    hint: str | None
    input: str | None


@dataclass(frozen=True, slots=True)
class NodeSkipped:
    """A step cannot run because another one has no result."""

    path: str
    because: str


@dataclass(frozen=True, slots=True)
class TrainMetrics:
    """Numbers of a training; several steps in one event."""

    path: str
    rows: tuple[Mapping[str, float | None], ...]
    """One mapping for each step, such as `{"step": 100, "loss": 0.12}`."""


@dataclass(frozen=True, slots=True)
class TrainSample:
    """A sample picture of a training."""

    path: str
    step: int
    caption: str
    digest: str
    """The sha256 of the picture; see `RunQueue.sample`."""
    width: int
    height: int
    media: str


@dataclass(frozen=True, slots=True)
class TrainCheckpoint:
    """A training has saved its state."""

    path: str
    step: int
    name: str


@dataclass(frozen=True, slots=True)
class TypesChanged:
    """Node packs have changed; fetch the node types again."""

    etag: str


@dataclass(frozen=True, slots=True)
class ModelsChanged:
    """Model files were added, changed or removed."""


@dataclass(frozen=True, slots=True)
class GraphChanged:
    """A graph was saved."""

    id: str
    revision: str
    by: str
    """The tab or program that saved it."""


@dataclass(frozen=True, slots=True)
class Log:
    """A line that a node printed, or a warning."""

    level: Literal["info", "warning", "error"]
    text: str


@dataclass(frozen=True, slots=True)
class ServerClosing:
    """The server stops."""

    reason: str


EventData = (
    Hello
    | QueueChanged
    | RunQueued
    | RunPlan
    | RunStarted
    | RunRetried
    | RunOutput
    | RunFinished
    | NodeStarted
    | NodeProgress
    | NodePreview
    | NodeDone
    | NodeFailed
    | NodeSkipped
    | TrainMetrics
    | TrainSample
    | TrainCheckpoint
    | TypesChanged
    | ModelsChanged
    | GraphChanged
    | Log
    | ServerClosing
)

EVENTS: Mapping[str, type[EventData]] = {
    "hello": Hello,
    "queue.changed": QueueChanged,
    "run.queued": RunQueued,
    "run.plan": RunPlan,
    "run.started": RunStarted,
    "run.retried": RunRetried,
    "run.output": RunOutput,
    "run.finished": RunFinished,
    "node.started": NodeStarted,
    "node.progress": NodeProgress,
    "node.preview": NodePreview,
    "node.done": NodeDone,
    "node.failed": NodeFailed,
    "node.skipped": NodeSkipped,
    "train.metrics": TrainMetrics,
    "train.sample": TrainSample,
    "train.checkpoint": TrainCheckpoint,
    "types.changed": TypesChanged,
    "models.changed": ModelsChanged,
    "graph.changed": GraphChanged,
    "log": Log,
    "server.closing": ServerClosing,
}
"""The class of `data` for each type of event."""
TYPE_OF: Mapping[type, str] = {cls: name for name, cls in EVENTS.items()}


def replaces(run: str | None, data: EventData) -> tuple[str, str | None, str] | None:
    """The key of an event that replaces the previous event with this key; None if it replaces none."""
    if isinstance(data, NodeProgress | NodePreview):
        return TYPE_OF[type(data)], run, data.path
    return ("queue.changed", None, "") if isinstance(data, QueueChanged) else None


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event of the stream, with its envelope."""

    seq: int
    """Numbers increase; a number is missing where a newer event has replaced an older one."""
    ts: float
    """Seconds since the epoch."""
    type: str
    """A key of `EVENTS`."""
    run: str | None
    document: str | None
    """The document that the run was submitted from."""
    node: str | None
    """The node of the document; a step inside it has its own id in `data.path`."""
    data: EventData
    text: str
    """The event as JSON, as clients receive it."""

    def as_json(self) -> dict[str, Json]:
        """The envelope and the data as JSON."""
        tree: dict[str, Json] = json.loads(self.text)
        return tree


def made(
    seq: int,
    ts: float,
    data: EventData,
    run: str | None = None,
    document: str | None = None,
    node: str | None = None,
) -> StreamEvent:
    """An event with its JSON text."""
    ts, type = round(ts, 3), TYPE_OF[data.__class__]
    head = {"seq": seq, "ts": ts, "type": type, "run": run, "document": document, "node": node}
    text = json.dumps({**head, "data": plain(data)}, separators=(",", ":"), default=plain)
    return StreamEvent(seq, ts, type, run, document, node, data, text)


def plain(data: Any) -> dict[str, Any]:
    """The fields of a dataclass by name; quicker than `dataclasses.asdict`, which copies them deeply."""
    return {name: getattr(data, name) for name in data.__dataclass_fields__}
