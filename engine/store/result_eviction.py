"""Decides which results a full store evicts first: those that save the least time per byte.

A store ranks a result at `floor + worth` whenever it is saved or used, evicts the lowest rank first, and sets
`floor` to each rank that it evicts. An unused result therefore falls behind results of equal worth, and
eventually behind cheaper ones, without a clock. (GreedyDual-Size, Cao and Irani 1997, "Cost-Aware WWW Proxy
Caching Algorithms".)
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Mapping
from typing import Protocol

_LOOKUP_SECONDS = 1e-3  # so that among results that took no time, large ones are evicted first
_AT_ONCE = 1000


def worth(seconds: float, size: int) -> float:
    """The time that a result saves per byte, in seconds."""
    return ((seconds if seconds > 0.0 else 0.0) + _LOOKUP_SECONDS) / (size if size > 1 else 1)


class Ranked(Protocol):
    """A result in memory, with its rank for eviction."""

    worth: float
    rank: float
    last_use: int


class EvictionQueue:
    """The order in which the memory tier evicts its results. Not thread-safe.

    Args:
        results: the results in memory by key; the queue reads it and does not change it.
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
        """Pop the key of the result to evict next; the caller removes the result."""
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
        """Clear the queue after results were removed in another way."""
        self._heap = None


def lowest_rows(index: sqlite3.Connection, excess: int) -> tuple[list[int], float]:
    """The rows of a disk index to evict next, and the floor to raise to.

    Args:
        index: an open index, inside a transaction.
        excess: the number of bytes to evict; at most 1,000 rows are returned at once.
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
