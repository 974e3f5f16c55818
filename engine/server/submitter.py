"""Accepts runs: has the graph checked and its random seeds drawn, and adds the run to the queue on disk."""

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
    """Accepted runs, which are saved on disk."""

    runs: Sequence[QueuedRun]
    inputs: Mapping[str, Any]
    """The value of each input of the graph in the first run."""
    warnings: Sequence[Problem] = ()
    has_seeds: bool = False
    """True if random seeds were drawn."""
    repeat: str | None = None
    """The id of the repetition; None for runs that are not repeated."""


class Submitter:
    """Checks submitted runs and adds them to the queue; thread-safe.

    Args:
        queue: the queue.
        catalogue: checks graphs, in another process.
        graphs: the saved graphs.
    """

    def __init__(self, queue: RunQueue, catalogue: Catalogue, graphs: SavedGraphs) -> None:
        self._queue, self._catalogue, self._graphs = queue, catalogue, graphs
        self.repeats = Repeats(queue, lambda submission: self._one(submission).runs[0])
        """The repetitions: runs that are submitted again whenever they end."""

    def close(self) -> None:
        """Stop repeating runs; the repetitions continue after the next start of the server."""
        self.repeats.close()

    def submit(self, submission: Submission, *, times: int = 1, until_stopped: bool = False) -> Accepted:
        """Add a run to the queue, or several with new random seeds each.

        Args:
            submission: the run.
            times: the number of runs.
            until_stopped: True to make the run a repetition.

        Raises:
            GraphError: the graph has errors (the exception lists all), or the queue cannot accept the run.
            Refused: there is no such graph (404), the submission is not valid (422), or too many runs wait
                (429).
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
        """Convert a submission to a `RunRequest`, without checking the graph.

        Raises:
            GraphError: the graph cannot be read.
            Refused: there is no such graph (404), both or neither of `graph` and `graph_id` are given, or an
                input has both a value and a sweep (422).
        """
        if (submission.graph is None) == (submission.graph_id is None):
            raise refused(422, "bad_request", "the run must have either graph or graph_id")
        if submission.graph_id is not None:
            graph = self._graphs.read(submission.graph_id).graph
        else:
            id = _graph_id(submission.document)
            folder = self._graphs.folder_of(id) if id else None  # listing the graphs takes milliseconds
            graph = replace(reader.from_json(submission.graph), folder=folder)
        both = sorted(submission.inputs.keys() & submission.sweep.keys())
        if both:
            message = f"the input {both[0]!r} has both a value and a sweep"
            raise refused(422, "bad_request", message, input=both[0])
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
    """Return the id of the saved graph in a document's id; the page appends `#` and the name of a tab."""
    return (document or "").partition("#")[0]
