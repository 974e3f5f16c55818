"""Decides which results a full store evicts first: those that save the least time per byte.

Whenever a result is saved or used, its rank becomes `floor + worth`. The store evicts the lowest rank first,
and sets `floor` to the rank that it evicts. So, without a clock, an unused result falls behind results of
equal worth that were used later, and eventually behind results of less worth. (GreedyDual-Size, Cao and Irani
1997, "Cost-Aware WWW Proxy Caching Algorithms".)
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Mapping
from typing import Protocol

_LOOKUP_SECONDS = 1e-3  # so that among results that took no time, large ones are evicted first
_AT_ONCE = 1000


def worth(seconds: float, size: int) -> float:
    """Compute the seconds that a stored result saves per byte."""
    return ((seconds if seconds > 0.0 else 0.0) + _LOOKUP_SECONDS) / (size if size > 1 else 1)


class Ranked(Protocol):
    """A result in memory, with its rank for eviction."""

    worth: float
    rank: float
    last_use: int


class EvictionQueue:
    """The order in which the memory tier evicts its results. Not thread-safe.

    Args:
        results: the results in memory by key; the queue only reads them.
    """

    def __init__(self, results: Mapping[str, Ranked]) -> None:
        self._results = results
        self._floor = 0.0
        self._uses = 0
        # A heap of (rank, last use, key); some entries may be outdated, since most processes never evict.
        self._heap: list[tuple[float, int, str]] | None = None

    def use(self, result: Ranked) -> None:
        """Update the rank of a result that was just saved or used."""
        self._uses += 1
        result.last_use = self._uses
        result.rank = self._floor + result.worth

    def add(self, key: str, result: Ranked) -> None:
        """Add a ranked result under a key."""
        if self._heap is not None:
            heapq.heappush(self._heap, (result.rank, result.last_use, key))

    def lowest(self) -> str:
        """Remove and return the key of the result to evict next; the caller deletes the result."""
        if self._heap is None:
            self._heap = [(result.rank, result.last_use, key) for key, result in self._results.items()]
            heapq.heapify(self._heap)
        while True:
            rank, last_use, key = heapq.heappop(self._heap)
            result = self._results[key]
            if result.last_use == last_use:
                self._floor = rank
                return key
            heapq.heappush(self._heap, (result.rank, result.last_use, key))  # used since it was queued

    def clear(self) -> None:
        """Discard the order, because results were removed other than by `lowest`."""
        self._heap = None


def lowest_rows(index: sqlite3.Connection, excess: int) -> tuple[list[int], float]:
    """Return the ids of the rows of a disk index to evict next, and the new floor.

    Args:
        index: an open index, inside a transaction.
        excess: the number of bytes to evict. At most 1,000 rows are returned, so more may be necessary.
    """
    ids: list[int] = []
    floor = 0.0
    statement = f"SELECT id, bytes, rank FROM entries ORDER BY rank, used LIMIT {_AT_ONCE}"
    for number, size, rank in index.execute(statement).fetchall():
        ids.append(number)
        floor = rank
        excess -= size
        if excess <= 0:
            break
    return ids, floor
