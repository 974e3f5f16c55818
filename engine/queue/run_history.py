"""Reads the runs of a queue: their states, requests, outputs, metrics and files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from engine.document.run_request import RunRequest
from engine.errors import GraphError, Problem
from engine.queue.metric_table import Row
from engine.queue.snapshot import PublishedFile, RunSnapshot, RunSummary, SamplePicture
from engine.queue.state import QueueState
from engine.queue.stream_events import RunState


class RunHistory:
    """Reads all runs of a queue: those that have ended, those that are running, and those that wait.

    Every method may be called from any thread. Unknown ids raise GraphError with the code `unknown_run` or
    `unknown_output`.

    Args:
        state: the state of the queue.
    """

    def __init__(self, state: QueueState) -> None:
        self._state = state
        self.outputs = state.outputs
        """The written outputs of all runs."""

    def run(self, id: str) -> RunSnapshot:
        """Return the complete state of a run, as it is after the event `last_seq`."""
        with self._state.changed:
            seq = self._state.log.seq
            running = self._state.running.get(id)
            stored = self._state.runs.stored(id)
            if stored is None:
                raise unknown_run(id)
            nodes = self._state.runs.nodes(id) if running is None else running.progress.nodes()
        request, ending = stored.request, stored.ending
        return RunSnapshot(
            stored.summary,
            request["graph"],
            request["values"],
            request["sweeps"],
            tuple(request["targets"]),
            nodes,
            self.outputs.find(id, limit=10_000)[::-1],
            ending.get("problems", []),
            ending.get("warnings", []),
            ending.get("values", {}),
            seq,
            ending.get("report"),
        )

    def request(self, id: str) -> RunRequest:
        """Return the request of a run, as submitted."""
        if (stored := self._state.runs.stored(id)) is None:
            raise unknown_run(id)
        return RunRequest.from_json(stored.request)

    def notes(self, id: str) -> dict[str, Any]:
        """Return the JSON that `submit` stored with a run for the client, such as ids that it uses."""
        if (notes := self._state.runs.notes(id)) is None:
            raise unknown_run(id)
        return notes

    def runs(
        self,
        state: RunState | Sequence[RunState] | None = None,
        before: int | None = None,
        limit: int = 50,
        *,
        has_metrics: bool = False,
    ) -> list[RunSummary]:
        """List runs, newest first; queued runs alone are listed in the order in which they will start.

        Args:
            state: list only runs in this state, or in one of several; None for all.
            before: list only runs that were submitted before the one with this `number`.
            limit: the most runs to return.
            has_metrics: True to list only runs whose steps have reported metrics, such as trainings.
        """
        states = () if state is None else (state,) if isinstance(state, str) else tuple(state)
        wanted = cast("Sequence[RunState]", states)
        return self._state.runs.summaries(wanted, before, limit, has_metrics=has_metrics)

    def metrics(self, id: str, max_points: int = 1000) -> dict[str, list[Row]]:
        """Return the metrics that the steps of a run have reported, such as losses, by the id of the step.

        Args:
            id: the run.
            max_points: the most rows of each metric; if there are more, evenly spaced ones are returned,
                including the last.
        """
        self._summary(id)
        return self._state.metrics.of(id, max_points)

    def published(self, id: str) -> list[PublishedFile]:
        """List the files that the steps of a run have published, sorted by step and name.

        Some of them may have been removed since.
        """
        files = {
            (step, file["name"]): PublishedFile(step, file["name"], Path(file["path"]), file["size"])
            for step, node in self.run(id).nodes.items()
            for file in node.published or ()
        }
        return [file for _, file in sorted(files.items())]

    def samples(self, id: str) -> list[SamplePicture]:
        """List the sample pictures of a training in the order of their training steps.

        Their `data` is empty; `OutputTable.sample` reads it.
        """
        self._summary(id)
        return self.outputs.samples(id)

    def _summary(self, id: str) -> RunSummary:
        if (summary := self._state.runs.summary(id)) is None:
            raise unknown_run(id)
        return summary


def unknown_run(id: str) -> GraphError:
    """Make the error for an id that no run has."""
    return GraphError([Problem("unknown_run", f"there is no run {id!r}")])
