"""Requests that users send to running steps, such as to draw a sample now."""

from __future__ import annotations

from typing import Literal

Request = Literal["stop", "sample", "checkpoint"]
"""`stop`: stop after the current piece of work. `sample`: draw a sample now. `checkpoint`: save one now."""


class Requests:
    """Thread-safe list of the requests to the running steps of one run."""

    def __init__(self) -> None:
        self._made: list[tuple[str, Request]] = []

    def ask(self, node: str, request: Request) -> None:
        """Send a request to the running steps of a node: to all its list elements, or all nodes inside it."""
        self._made.append((node, request))

    def count(self) -> int:
        """Return the number of requests sent so far, for `since`."""
        return len(self._made)

    def since(self, count: int, step: str) -> set[Request]:
        """Return the requests to a step that were sent after `count()` returned `count`."""
        return {
            request
            for node, request in self._made[count:]
            if step == node or step.startswith((f"{node}[", f"{node}/"))
        }
