"""Limits the rate of requests of each client address."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from engine.server.limits import Limits
from engine.server.refusal import refused, send_refusal

CLIENTS = 1024
"""The most client addresses that are remembered."""


class Rates:
    """Refuses requests with 429 from a client that sends too many; `Retry-After` says when to try again.

    Each address has a token bucket: it holds up to `burst` tokens, and `requests_per_second` are added each
    second. A request takes one.

    Args:
        app: receives the accepted requests.
        limits: the rate and the burst.
        clock: returns the time in seconds.
    """

    def __init__(self, app: ASGIApp, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._app, self._rate, self._burst, self._clock = (
            app,
            limits.requests_per_second,
            limits.burst,
            clock,
        )
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request, unless its client has sent too many."""
        if scope["type"] == "lifespan" or (wait := self._take(_address(scope))) <= 0:
            await self._app(scope, receive, send)
            return
        seconds = str(max(1, math.ceil(wait)))
        refusal = refused(
            429,
            "too_many_requests",
            "this client sends too many requests",
            f"wait for {seconds} seconds",
            headers={"Retry-After": seconds},
        )
        await send_refusal(scope, send, refusal)

    def _take(self, client: str) -> float:
        """Take a token of a client; returns 0, or the seconds until there is one if the bucket is empty."""
        now = self._clock()
        tokens, then = self._buckets.pop(client, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - then) * self._rate)
        granted = tokens >= 1
        self._buckets[client] = (tokens - 1 if granted else tokens), now
        while len(self._buckets) > CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if granted else (1 - tokens) / self._rate


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""
