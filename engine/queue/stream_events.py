"""The events of the server's stream: a common envelope, and a class of data for each type of event.

Clients read them at `GET /api/v1/events`. Every event has the envelope of `StreamEvent`; its `type` decides
the class of its `data`, see `EVENTS`. All fields are JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.events import OutputSummary
from engine.values import Json

RunState = Literal["queued", "running", "done", "failed", "cancelled", "interrupted", "refused"]
"""The state of a run. `interrupted`: the server stopped or was killed during the run. `refused`: the worker
found errors in its graph."""
EndState = Literal["done", "failed", "cancelled", "interrupted", "refused"]
"""The state of a run that has ended."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The first event that a reader receives; sent again after the reader has missed events.

    The reader has missed events if `server_id` is new, or if `oldest` is greater than the number after its
    last event. It then has to read the state of the runs again.
    """

    server_id: str
    """A random id, new after each start of the server; the numbers of events start anew with each id."""
    seq: int
    """The number of the latest event."""
    oldest: int
    """The number of the oldest event that can be replayed."""
    missed: bool
    """True if events after the one that the reader asked for can no longer be replayed."""


@dataclass(frozen=True, slots=True)
class QueueChanged:
    """The number of running or waiting runs, or the reason for a pause, has changed."""

    running: int
    pending: int
    """The number of waiting runs."""
    paused: str | None
    """The reason that no run starts; None if runs start."""


@dataclass(frozen=True, slots=True)
class RunQueued:
    """A run was accepted, or has moved in the queue."""

    position: int
    """The number of runs before it."""


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """The action that the plan has chosen for one node."""

    action: str
    """`run`, `may_run` (decided during the run), `reuse` (from the cache), `share` (the result of an equal
    node) or `unneeded`."""
    type: str
    tier: str | None
    """For `reuse`: where the result is, `memory` or `disk`."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The run is planned."""

    nodes: Mapping[str, PlannedNode]
    """The actions by node; elements of lists are left out."""
    to_run: int
    """The number of steps to compute."""


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A worker has started the run."""

    device: str
    attempt: int
    """1 for the first time; more after the run was put back into the queue."""


@dataclass(frozen=True, slots=True)
class RunRetried:
    """The worker of the run has died, and the run starts again in a new one."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class RunOutput:
    """A file of a declared output was written; the envelope names the node that made it."""

    id: int
    """The id of the output in the history."""
    path: str
    """The step that made it, such as `group/decode[2]`."""
    output: str
    index: tuple[int, ...]
    """The indices of the element in a list output; empty for a single value."""
    values: Mapping[str, Json]
    """The values of the swept inputs for this element, by input."""
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
    """The number of steps that were computed."""
    reused: int
    """The number of steps whose results were reused from the cache."""
    code: str | None = None
    """The code of the first problem; None without problems."""
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
    """The estimated milliseconds until the step ends; None if unknown."""
    unit: str | None = None
    """What is counted, in the plural, such as `steps` or `pictures`."""
    stage: str | None = None
    """The part of the step's work that is counted, if it has several; `value` begins again with each."""


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
    outputs: tuple[OutputSummary, ...] = ()
    """The outputs; empty for a step that is put together from others. The files of declared outputs come
    with `run.output`."""
    memory: Mapping[str, int | None] | None = None
    """The peak memory in bytes of a step on the device: `host`, of the whole process; `rise`, since the start
    of the step; and `device`, on a CUDA device."""


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
    """A step cannot run because the result of another step is missing."""

    path: str
    because: str
    """The id of the other step."""


@dataclass(frozen=True, slots=True)
class TrainMetrics:
    """Metrics of a training, such as losses; one event may contain several training steps."""

    path: str
    rows: tuple[Mapping[str, float | None], ...]
    """A row for each training step, such as `{"step": 100, "loss": 0.12}`."""


@dataclass(frozen=True, slots=True)
class TrainSample:
    """A sample picture of a training."""

    path: str
    step: int
    caption: str
    digest: str
    """The sha256 of the picture; see `OutputTable.sample`."""
    width: int
    height: int
    media: str


@dataclass(frozen=True, slots=True)
class TrainCheckpoint:
    """A training has saved a checkpoint of its state."""

    path: str
    step: int
    name: str


@dataclass(frozen=True, slots=True)
class TypesChanged:
    """Node packs have changed; the client has to fetch the node types again."""

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
    """The server is stopping."""

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
    """Return a key if the event replaces the previous event that has the same key; None for other events."""
    if isinstance(data, NodeProgress | NodePreview):
        return TYPE_OF[type(data)], run, data.path
    return ("queue.changed", None, "") if isinstance(data, QueueChanged) else None


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event of the stream, with its envelope."""

    seq: int
    """The number of the event. Numbers increase; gaps remain where newer events have replaced older ones."""
    ts: float
    """Seconds since the epoch."""
    type: str
    """A key of `EVENTS`."""
    run: str | None
    document: str | None
    """The id of the document that the run was submitted from."""
    node: str | None
    """The node of the document; the id of its step is in `data.path`."""
    data: EventData
    text: str
    """The event as JSON, as clients receive it."""

    def as_json(self) -> dict[str, Json]:
        """Return the envelope and the data as a JSON object."""
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
    """Make an event with its JSON text."""
    ts, type = round(ts, 3), TYPE_OF[data.__class__]
    head = {"seq": seq, "ts": ts, "type": type, "run": run, "document": document, "node": node}
    text = json.dumps({**head, "data": plain(data)}, separators=(",", ":"), default=plain)
    return StreamEvent(seq, ts, type, run, document, node, data, text)


def plain(data: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by name, without copying the values as `dataclasses.asdict` does."""
    return {name: getattr(data, name) for name in data.__dataclass_fields__}
