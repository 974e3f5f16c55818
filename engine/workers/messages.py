"""The protocol between the process that owns a run and the worker process that executes it.

Every message is a JSON object (see `frames`). The owner sends:

- `{"do": "run", "run": ID, "request": {...}}`: execute a `RunRequest`. Runs execute in the order of arrival.
- `{"do": "cancel", "run": ID}`: cancel a run; if it still waits, it ends as soon as it starts.
- `{"do": "ask", "run": ID, "node": NODE, "request": REQUEST}`: send a `context.Request` to a running node.
- `{"do": "report", "id": N}`: send a report of the devices and the loaded models, also during a run.
- `{"do": "close"}`: finish the waiting runs, then exit. The end of the stream means: cancel all, then exit.

The worker sends:

- `{"say": "ready", "pid": N, "device": DEVICE}`: once, when it is ready for runs.
- `{"say": "event", "run": ID, "event": {...}}`: an event of a run, as `engine.events` writes it.
- `{"say": "ended", "run": ID, "report": {...}}`: the run has ended, with its report as JSON.
- `{"say": "refused", "run": ID, "problems": [...]}`: the run could not start, with a list of its problems.
- `{"say": "report", "id": N, "report": {...}}`: a `devices.report.DevicesReport` as JSON.
- `{"say": "warned", "message": TEXT}`: a problem with the worker's home that affects no run.

A worker that dies sends nothing more: its owner reads the end of the stream and the exit code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from engine import fixes
from engine.errors import Problem

State = Literal["done", "failed", "cancelled", "refused", "died"]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run in a worker ended: its final state, report and problems."""

    state: State
    report: dict[str, Any] | None = None
    """The run's report as JSON; None if the run was refused or the worker died."""
    problems: tuple[Problem, ...] = ()
    """The reasons the run was refused, or the reason the worker died."""


def problem_from_json(problem: dict[str, Any]) -> Problem:
    """Restore a problem from the JSON of `Problem.as_json`."""
    return Problem(
        str(problem["code"]),
        str(problem["message"]),
        problem.get("node"),
        problem.get("input"),
        problem.get("hint"),
        "warning" if problem.get("severity") == "warning" else "error",
        None if problem.get("fix") is None else fixes.from_json(problem["fix"]),
    )
