"""Limits how many requests of one kind are handled at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from engine.server.refusal import refused


class RequestLimit:
    """Counts the current requests of one kind, and refuses those beyond a limit.

    Args:
        most: the largest number at the same time.
        what: the plural noun for these requests in messages, such as `readers of events`.
    """

    def __init__(self, most: int, what: str) -> None:
        self._most, self._what = most, what
        self._lock = Lock()
        self.count = 0

    def check(self) -> None:
        """Refuse a request if the limit is reached.

        Raises:
            Refused: the limit is reached (429).
        """
        if self.count >= self._most:
            message = f"there are {self._most:,} {self._what} already"
            raise refused(429, "too_many_requests", message, headers={"Retry-After": "5"})

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count a request as current while the block runs.

        Raises:
            Refused: the limit is reached (429).
        """
        with self._lock:
            self.check()
            self.count += 1
        try:
            yield
        finally:
            with self._lock:
                self.count -= 1
