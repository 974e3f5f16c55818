"""Accepts runs: checks the graph, draws its random seeds, and puts the run on the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.catalogue import Catalogue
from engine.document import reader
from engine.document.run_request import RunRequest
from engine.document.sweep import Sweep
from engine.errors import GraphError, Problem
from engine.queue import QueueFull, RunQueue
from engine.queue.snapshot import QueuedRun
from engine.server.refusal import Refused, refused
from engine.server.repeats import Repeats
from engine.server.saved_graphs import SavedGraphs
from engine.server.submission import Submission


@dataclass(frozen=True, slots=True)
class Accepted:
    """Runs that are on the disk."""

    runs: Sequence[QueuedRun]
    inputs: Mapping[str, Any]
    """The value of each input of the graph in the first run."""
    warnings: Sequence[Problem] = ()
    has_seeds: bool = False
    """True if random seeds were drawn."""
    repeat: str | None = None
    """The id of the repetition."""


class Submitter:
    """Accepts runs. Any thread may use it.

    Args:
        queue: the queue.
        catalogue: checks graphs, in another process.
        graphs: the saved graphs.
    """

    def __init__(self, queue: RunQueue, catalogue: Catalogue, graphs: SavedGraphs) -> None:
        self._queue, self._catalogue, self._graphs = queue, catalogue, graphs
        self.repeats = Repeats(queue, lambda submission: self._one(submission).runs[0])
        """The runs that are submitted again after each end."""

    def close(self) -> None:
        """Submit no more runs; repetitions go on after the next start."""
        self.repeats.close()

    def submit(self, submission: Submission, *, times: int = 1, until_stopped: bool = False) -> Accepted:
        """Accept a run, or several with new seeds each.

        Args:
            submission: the run.
            times: the number of runs.
            until_stopped: True to submit the run again after each end.

        Raises:
            GraphError: the graph has errors; with every problem. Or the queue does not accept the run.
            Refused: there is no such graph (404), or too many runs wait (429).
        """
        if times > 1 and submission.key is not None:
            raise refused(
                422, "bad_request", "an idempotency key names one run", "leave out the key or times"
            )
        first = self._one(submission)
        if times == 1 and not until_stopped:
            return first
        if not first.has_seeds:
            self._queue.cancel(first.runs[0].id)
            hint = 'set a seed of the graph to "random"'
            raise refused(422, "no_random_seed", "every run would give the same result", hint)
        if until_stopped:
            try:
                self.repeats.add(first.runs[0].id, submission)
            except Refused:
                self._queue.cancel(first.runs[0].id)
                raise
            return replace(first, repeat=first.runs[0].id)
        more = [self._one(submission).runs[0] for _ in range(times - 1)]
        return replace(first, runs=[*first.runs, *more])

    def _one(self, submission: Submission) -> Accepted:
        key, fingerprint = submission.key, submission.fingerprint
        if key is not None and (known := self._queue.keyed(key, fingerprint)) is not None:
            return Accepted([known], self._queue.request(known.id).values)
        checked = self._catalogue.validate(self.request(submission), plan=False)
        if not checked.ok:
            raise GraphError(checked.problems)
        try:
            queued = self._queue.submit(
                checked.request,
                key=key,
                fingerprint=fingerprint,
                priority=submission.priority,
                document=submission.document,
                front=submission.front,
                notes=submission.notes,
            )
        except QueueFull as error:
            raise Refused(429, *error.problems, headers={"Retry-After": "10"}) from None
        return Accepted([queued], checked.values, checked.problems, has_seeds=bool(checked.seeds))

    def request(self, submission: Submission) -> RunRequest:
        """The request of a submission.

        Raises:
            GraphError: the graph cannot be read.
            Refused: there is no such graph (404), or there is none or two (422).
        """
        if (submission.graph is None) == (submission.graph_id is None):
            raise refused(422, "bad_request", "a run has either a graph or a graph_id")
        if submission.graph_id is not None:
            graph = self._graphs.read(submission.graph_id).graph
        else:
            id = _graph_id(submission.document)
            folder = self._graphs.folder_of(id) if id else None  # listing the graphs takes milliseconds
            graph = replace(reader.from_json(submission.graph), folder=folder)
        both = sorted(submission.inputs.keys() & submission.sweep.keys())
        if both:
            raise refused(422, "bad_request", f"{both[0]!r} has both a value and a sweep", input=both[0])
        values = {name: Sweep(tuple(listed)) for name, listed in submission.sweep.items()}
        name = submission.document or submission.graph_id or ""
        title = graph.title or submission.graph_id or "untitled"
        return RunRequest(
            graph,
            {**submission.inputs, **values},
            submission.targets,
            f"server:{name}" if name else "",
            title,
        )


def _graph_id(document: str | None) -> str:
    """The id of the saved graph that a document is; a page adds `#` and a name for each of its tabs."""
    return (document or "").partition("#")[0]
