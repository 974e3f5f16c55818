"""Keeps track of the runs that a session is executing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import cast, get_args

from engine.cancel import Cancel
from engine.errors import GraphError, Problem
from engine.near_names import near
from engine.plan.plan import Plan
from engine.step_requests import Request, Requests


class CurrentRuns:
    """Cancels the runs of a session, and passes requests to their steps. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()  # guards the flags
        self._flags: set[Cancel] = set()
        self._runs: dict[str, tuple[Plan, Requests]] = {}

    @contextmanager
    def cancelled_by(self, flag: Cancel) -> Iterator[None]:
        """Register the cancellation flag of a run, so that `cancel` sets it within the `with` block."""
        with self._lock:
            self._flags.add(flag)
        try:
            yield
        finally:
            with self._lock:
                self._flags.discard(flag)

    @contextmanager
    def one(self, id: str, plan: Plan, requests: Requests) -> Iterator[None]:
        """Register a run, so that `request` reaches its steps within the `with` block."""
        self._runs[id] = plan, requests
        try:
            yield
        finally:
            del self._runs[id]

    def cancel(self) -> None:
        """Cancel all runs."""
        with self._lock:
            for flag in self._flags:
                flag.ask()

    def request(self, run: str, node: str, request: str) -> None:
        """Send a request to a running step; see `Executor.request`.

        Raises:
            GraphError: there is no such run, node or request.
        """
        if (running := self._runs.get(run)) is None:
            raise GraphError([Problem("unknown_run", f"there is no run {run!r}", hint="it may have ended")])
        plan, requests = running
        if node not in plan.steps:
            message = f"the run has no node or step {node!r}"
            raise GraphError([Problem("unknown_node", message, hint=near(node, plan.steps))])
        if request not in (known := get_args(Request)):
            hint = near(request, known) or f"use {', '.join(known)}"
            message = f"running steps do not support the request {request!r}"
            raise GraphError([Problem("unknown_request", message, hint=hint)])
        requests.ask(node, cast(Request, request))
