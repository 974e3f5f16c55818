"""The requests of users to running steps, such as to draw a sample now."""

from __future__ import annotations

from typing import Literal

Request = Literal["stop", "sample", "checkpoint"]
"""`stop` after the current piece of work, draw a `sample` now, or save a `checkpoint` now."""


class Requests:
    """Thread-safe list of requests to the running steps of one run, such as to draw a sample now."""

    def __init__(self) -> None:
        self._made: list[tuple[str, Request]] = []

    def ask(self, node: str, request: Request) -> None:
        """Send a request to a running step; for a node that goes through lists, to its elements."""
        self._made.append((node, request))

    def count(self) -> int:
        """The number of requests made so far."""
        return len(self._made)

    def since(self, count: int, step: str) -> set[Request]:
        """The requests to a step that were made since `count()` returned `count`."""
        return {
            request
            for node, request in self._made[count:]
            if step == node or step.startswith((f"{node}[", f"{node}/"))
        }
