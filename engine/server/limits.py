"""The limits of the server: sizes, times, rates and counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits for requests. A request beyond one of them gets the status 408, 413, 414, 429 or 431."""

    json_bytes: int = 16 << 20
    """The largest JSON body."""
    blob_bytes: int = 64 << 20
    """The largest uploaded file."""
    url_bytes: int = 8 << 10
    """The largest size of path and query together."""
    headers: int = 64
    """The largest number of headers of a request."""
    header_bytes: int = 16 << 10
    """The size of all headers together."""
    head_seconds: float = 10.0
    """The seconds in which the line and the headers of a request must arrive."""
    idle_seconds: float = 10.0
    """The longest pause between two pieces of a body."""
    body_seconds: float = 120.0
    """The seconds in which a whole body must arrive."""
    read_seconds: float = 30.0
    """The seconds for which a client may stop reading a long response."""
    requests_per_second: float = 1000.0
    """The requests that one client address may send, on average."""
    burst: int = 4000
    """The requests that one client address may send at once."""
    uploads: int = 4
    """The largest number of uploads at the same time."""
    streams: int = 2000
    """The largest number of readers of events at the same time."""
    socket_bytes: int = 64 << 10
    """The largest message from the client of a WebSocket."""
    calls: int = 64
    """The largest number of calls that wait for their runs at the same time."""
