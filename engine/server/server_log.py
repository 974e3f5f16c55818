"""The log of the server: one JSON object per line.

The file is `server/log.jsonl` in the home folder. It is renamed when it is full, and the oldest file is
removed. Every line has `ts` (seconds since the epoch), `level`, `event` and `message`. Lines about a run also
have `run` (its id); those about a request have `method`, `path`, `status` and `client`. Headers, bodies and
queries of requests, and the text that nodes print, are not logged.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from threading import Event, Thread
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.queue.event_log import EventLog
from engine.queue.stream_events import (
    Log,
    NodeFailed,
    RunFinished,
    RunQueued,
    RunRetried,
    RunStarted,
    ServerClosing,
    StreamEvent,
    plain,
)

NAME = "log.jsonl"
MAX_BYTES, FILES = 8 << 20, 4
_WRITTEN = (RunQueued, RunStarted, RunRetried, RunFinished, NodeFailed, Log, ServerClosing)
_WORTH_A_LINE = frozenset({401, 403, 429})
"""The statuses below 500 that are logged, because the request may come from a hostile program."""

log = logging.getLogger("safelight.server")


class JsonLines(logging.Formatter):
    """Formats a log record as a line of JSON; `extra={"fields": {...}}` adds keys."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a line break."""
        fields: dict[str, Any] = getattr(record, "fields", {})
        tree: dict[str, Any] = {"ts": round(record.created, 3), "level": record.levelname.lower()}
        tree |= {"event": "log", "message": record.getMessage(), **fields}
        if record.exc_info:
            tree["trace"] = self.formatException(record.exc_info)
        return json.dumps(tree, default=str, ensure_ascii=False)


class _LogFile(RotatingFileHandler):
    """A log file that is renamed when it is full. For speed, it makes no system call to check the size."""

    def shouldRollover(self, record: logging.LogRecord) -> bool:
        """Return whether the file is full."""
        return self.stream is not None and self.stream.tell() >= self.maxBytes


@contextmanager
def written(home: Path, events: EventLog) -> Iterator[None]:
    """Write the messages of the server and the events of runs to the log file while the block runs."""
    path = home / "server" / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = _LogFile(path, maxBytes=MAX_BYTES, backupCount=FILES, encoding="utf-8", delay=True)
    handler.setFormatter(JsonLines())
    handler.handleError = lambda record: None  # type: ignore[method-assign]  # the disk may be full
    console = logging.StreamHandler()
    console.setLevel(logging.ERROR)
    level = log.level
    log.addHandler(handler)
    log.addHandler(console)
    log.setLevel(logging.INFO)
    ended = Event()
    thread = Thread(target=_follow, args=(events, ended), name="safelight-log", daemon=True)
    thread.start()
    log.info(
        "the server starts", extra={"fields": {"event": "server.started", "server_id": events.server_id}}
    )
    try:
        yield
    finally:
        ended.set()
        thread.join()
        log.removeHandler(handler)
        log.removeHandler(console)
        log.setLevel(level)
        handler.close()


def _follow(events: EventLog, ended: Event) -> None:
    reader = events.subscribe()
    while not ended.is_set():
        for event in reader.follow(0.5):
            with suppress(Exception):  # a log that fails must not end the thread
                _write(event)
            if ended.is_set() or isinstance(event.data, ServerClosing):
                break
    for event in reader.take(1000):
        with suppress(Exception):
            _write(event)


def _write(event: StreamEvent) -> None:
    if not isinstance(event.data, _WRITTEN) or (isinstance(event.data, Log) and event.data.level == "info"):
        return
    fields = {"event": event.type, "run": event.run, "node": event.node, **plain(event.data)}
    failed = isinstance(event.data, NodeFailed) or fields.get("state") in ("failed", "interrupted", "refused")
    level = logging.WARNING if failed or fields.get("level") in ("warning", "error") else logging.INFO
    message = fields.pop("message", None) or fields.pop("text", None) or event.type
    fields.pop("level", None)
    log.log(level, "%s", message, extra={"fields": fields})


class LoggedRequests:
    """Logs requests that the security checks refuse, and those that fail with a status of 500 or more."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request, and log it if its response has one of those statuses."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_and_log(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = message["status"]
                if status in _WORTH_A_LINE or status >= 500:
                    _write_request(scope, status)
            await send(message)

        await self._app(scope, receive, send_and_log)


def _write_request(scope: Scope, status: int) -> None:
    client = scope.get("client")
    fields = {
        "event": "request.failed" if status >= 500 else "request.refused",
        "method": scope["method"][:20],
        "path": scope["path"][:500],
        "status": status,
        "client": client[0] if client else None,
    }
    log.warning("%s %s: %d", fields["method"], fields["path"], status, extra={"fields": fields})
