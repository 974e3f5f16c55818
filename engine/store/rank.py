"""Which kept result goes first when room is needed: the one cheapest to make again for its size."""

from __future__ import annotations

_LOOKUP_SECONDS = 1e-3  # so that among results that cost nothing, the big ones go first


def worth(seconds: float, size: int) -> float:
    """What a result saves for the room it takes, in seconds per byte.

    A store ranks a result at `floor + worth` whenever it is saved or used, evicts the lowest rank first, and
    lifts `floor` to each rank it evicts. A result that nobody uses therefore sinks, at first below its equals
    and in the end below cheap results too, and no clock is asked. (GreedyDual-Size, Cao and Irani 1997,
    "Cost-Aware WWW Proxy Caching Algorithms".)
    """
    return ((seconds if seconds > 0.0 else 0.0) + _LOOKUP_SECONDS) / (size if size > 1 else 1)
