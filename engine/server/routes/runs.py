"""Runs: submit, list, follow and control."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from engine.queue.snapshot import NodeSnapshot, QueueStatus, RunSnapshot, RunSummary
from engine.queue.stream_events import RunState
from engine.server.outputs import OutputRow, SampleRow, output_row, sample_row
from engine.server.repeats import RepeatRow
from engine.server.schema import Body, GraphDocument, Json, Nothing, ProblemItem, RunId
from engine.server.services import Served
from engine.server.submission import Submission
from engine.server.submitter import Accepted

router = APIRouter(prefix="/runs", tags=["runs"])
repeats_router = APIRouter(tags=["runs"])


class SubmitRun(Body):
    """A run to add to the queue: a graph, or the id of a saved one, and values for its inputs."""

    graph: GraphDocument | None = None
    graph_id: str | None = Field(None, min_length=1, max_length=400)
    """The id of a saved graph, to run instead of `graph`."""
    inputs: dict[str, Json] = Field(default_factory=dict, max_length=1000)
    """Values for the inputs of the graph."""
    sweep: dict[str, list[Json]] = Field(default_factory=dict, max_length=20)
    """For some inputs, a list of values. One run computes the graph for every combination of them."""
    targets: list[str] = Field(default_factory=list, max_length=1000)
    """The ids of the nodes to compute; empty for the declared outputs of the graph."""
    priority: int = Field(0, ge=-100, le=100)
    """Runs of a higher priority start first."""
    document: str | None = Field(None, max_length=400)
    """The id of the document that the run comes from; its events name it. If it is the id of a saved graph,
    alone or before a `#`, the graph finds the files beside that one."""
    front: bool = False
    """True to place the run before all others of its priority."""
    idempotency_key: str | None = Field(None, min_length=1, max_length=200)
    """A second submission with the same key returns the first run."""
    times: int = Field(1, ge=1, le=1000)
    """The number of runs; each draws new random seeds."""
    until_stopped: bool = False
    """True to repeat the run with new random seeds until `POST /repeats/{id}/stop`."""


class SubmittedRuns(BaseModel):
    """The accepted runs, which are saved on disk."""

    run: str
    """The id of the first run."""
    state: RunState
    position: int | None
    """The number of runs that start before it; null if it has started."""
    inputs: dict[str, Json]
    """The value of each input of the graph: given values, defaults, and drawn seeds."""
    is_new: bool
    """False if an earlier submission with the same key made this run."""
    runs: list[str]
    """The ids of all runs."""
    since: int
    """The number of the last event before the run: follow the events from here to see the whole run."""
    repeat: str | None
    """The id of the repetition for `POST /repeats/{id}/stop`; null for a run that is not repeated."""
    warnings: list[ProblemItem]


class RunList(BaseModel):
    """Runs, the newest first."""

    runs: list[RunSummary]
    queue: QueueStatus


class RunReport(BaseModel):
    """A run that has ended, in the form of `safelight run --json`, without files, nodes and problems."""

    seconds: float
    """The duration of the run, without its time in the queue."""
    outputs: dict[str, Json]
    """The declared outputs: type, digest of the value, summary and elements."""
    made_with: dict[str, str]
    """The versions of Safelight and of the libraries that the nodes use, by name."""


class RunAnswer(BaseModel):
    """Everything about one run."""

    summary: RunSummary
    graph: GraphDocument
    inputs: dict[str, Json]
    sweeps: dict[str, list[Json]]
    targets: list[str]
    nodes: dict[str, NodeSnapshot]
    outputs: list[OutputRow]
    values: dict[str, Json]
    """The declared outputs that are JSON values; empty until the run has ended."""
    problems: list[ProblemItem]
    warnings: list[ProblemItem]
    last_seq: int
    """The number of the last event that is part of this answer; follow the events from here."""
    report: RunReport | None
    """What the worker has reported at the end; null before it, or if the worker died."""


class MoveRun(Body):
    """Where to move a queued run."""

    before: str | None = Field(None, max_length=64)
    """The id of the run to place it before; null for the front of the queue."""


class RetryRun(Body):
    """How to repeat a run."""

    front: bool = False


class ControlRun(Body):
    """A request to a running node, such as a training."""

    node: str = Field(min_length=1, max_length=200)
    request: Literal["stop", "sample", "checkpoint"]


class RetriedRun(BaseModel):
    """The new run."""

    run: str
    state: RunState
    position: int | None


class Metrics(BaseModel):
    """The numbers that the steps of a run have reported, such as losses, by step."""

    rows: dict[str, list[dict[str, float | None]]]


class RepeatList(BaseModel):
    """The runs that are submitted again after each end."""

    repeats: list[RepeatRow]


class PauseQueue(Body):
    """True to pause the queue, false to resume it."""

    paused: bool


class Samples(BaseModel):
    """The sample pictures of a training, in the order of its training steps."""

    samples: list[SampleRow]


@router.post("", status_code=202)
def submit_run(served: Served, body: SubmitRun) -> SubmittedRuns:
    """Add a run to the queue. The status 202 means that the run is saved on disk, so it survives a crash."""
    since = served.queue.events.seq
    accepted = served.submitter.submit(
        Submission(
            graph=body.graph,
            graph_id=body.graph_id,
            inputs=body.inputs,
            sweep=body.sweep,
            targets=tuple(body.targets),
            priority=body.priority,
            document=body.document,
            front=body.front,
            key=body.idempotency_key,
        ),
        times=body.times,
        until_stopped=body.until_stopped,
    )
    return _submitted(accepted, since)


@router.get("")
def list_runs(
    served: Served,
    state: Annotated[list[RunState] | None, Query(max_length=10)] = None,
    before: Annotated[int | None, Query(ge=0, le=2**53, description="The `number` of a run.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    has_metrics: Annotated[
        bool, Query(description="Only runs whose steps have reported numbers, such as trainings.")
    ] = False,
) -> RunList:
    """List runs, the newest first. A list of queued runs only has the order in which they will start."""
    runs = served.queue.runs(state, before, limit, has_metrics=has_metrics)
    return RunList(runs=runs, queue=served.queue.status())


@router.get("/{id}")
def read_run(served: Served, id: RunId) -> RunAnswer:
    """Return everything about a run, whether it is queued, running or ended."""
    return run_answer(served.queue.run(id))


@router.post("/{id}/cancel")
def cancel_run(served: Served, id: RunId, body: Nothing) -> RunSummary:
    """Cancel a run in any state; the response has its new state."""
    return served.queue.cancel(id)


@router.post("/{id}/move")
def move_run(served: Served, id: RunId, body: MoveRun) -> RunSummary:
    """Move a queued run before another one, or to the front."""
    return served.queue.move(id, before=body.before)


@router.post("/{id}/retry", status_code=202)
def retry_run(served: Served, id: RunId, body: RetryRun) -> RetriedRun:
    """Submit a run again with the same graph and values; the results of finished steps are reused."""
    queued = served.queue.retry(id, front=body.front)
    return RetriedRun(run=queued.id, state=queued.state, position=queued.position)


@router.post("/{id}/control", status_code=204)
def control_run(served: Served, id: RunId, body: ControlRun) -> None:
    """Ask a running node to stop and keep its work, to draw a sample, or to save a checkpoint."""
    served.queue.ask(id, body.node, body.request)


@router.get("/{id}/metrics")
def read_metrics(
    served: Served, id: RunId, max_points: Annotated[int, Query(ge=1, le=100_000)] = 1000
) -> Metrics:
    """Return the numbers that a run's steps have reported, at most `max_points`, evenly spaced."""
    return Metrics(rows=served.queue.metrics(id, max_points))


@router.get("/{id}/samples")
def list_samples(served: Served, id: RunId) -> Samples:
    """List the sample pictures of a training."""
    return Samples(samples=[sample_row(sample) for sample in served.queue.samples(id)])


@repeats_router.get("/repeats")
def list_repeats(served: Served) -> RepeatList:
    """List the runs that are submitted again after each end."""
    return RepeatList(repeats=served.submitter.repeats.rows())


@repeats_router.post("/repeats/{id}/stop", status_code=204)
def stop_repeat(served: Served, id: RunId, body: Nothing) -> None:
    """End a repetition; its current run continues."""
    served.submitter.repeats.stop(id)


@repeats_router.put("/queue")
def pause_queue(served: Served, body: PauseQueue) -> QueueStatus:
    """Pause or resume the queue. Running runs continue; a paused queue stays paused after a restart."""
    if body.paused:
        served.queue.pause()
    else:
        served.queue.resume()
    return served.queue.status()


def run_answer(run: RunSnapshot) -> RunAnswer:
    """Convert the state of a run for clients, without file paths of this machine."""
    return RunAnswer(
        summary=run.summary,
        graph=run.graph,
        inputs=run.inputs,
        sweeps=run.sweeps,
        targets=list(run.targets),
        nodes={path: _node(node) for path, node in run.nodes.items()},
        outputs=[output_row(record) for record in run.outputs],
        values=run.values,
        problems=[ProblemItem(**problem) for problem in run.problems],
        warnings=[ProblemItem(**problem) for problem in run.warnings],
        last_seq=run.last_seq,
        report=None if run.report is None else RunReport(**run.report),
    )


def _node(node: NodeSnapshot) -> NodeSnapshot:
    if node.published:
        shown: list[dict[str, Any]] = [
            {"name": file["name"], "size": file["size"]} for file in node.published
        ]
        node.published = shown
    return node


def _submitted(accepted: Accepted, since: int) -> SubmittedRuns:
    first = accepted.runs[0]
    return SubmittedRuns(
        run=first.id,
        state=first.state,
        position=first.position,
        inputs=accepted.inputs,
        is_new=first.is_new,
        runs=[run.id for run in accepted.runs],
        since=since,
        repeat=accepted.repeat,
        warnings=[ProblemItem(**problem.as_json()) for problem in accepted.warnings],
    )
