"""The state of ComfyUI's API while the server runs: its clients, and the names of their uploads."""

from __future__ import annotations

import re
from collections import OrderedDict
from threading import Lock
from typing import cast

from fastapi import FastAPI, Request

from engine.files import UPLOADED
from engine.server.compat.comfyui_runs import NotesOfRuns
from engine.server.services import Services

_MOST = 1000
_DIGEST = re.compile(r"[0-9a-f]{64}")


class UploadNames:
    """The names that clients gave to uploaded pictures. A name is looked up here and never used as a path."""

    def __init__(self) -> None:
        self._digests: OrderedDict[str, str] = OrderedDict()
        self._lock = Lock()

    def add(self, subfolder: str, filename: str, digest: str) -> None:
        """Remember the name of an uploaded picture; the oldest names are dropped."""
        with self._lock:
            self._digests[_joined(subfolder, filename)] = digest
            while len(self._digests) > _MOST:
                self._digests.popitem(last=False)

    def find(self, name: str) -> str:
        """Return `sha256:HASH` for the name of an uploaded picture, and any other name unchanged.

        Args:
            name: the client's name for the picture with its sub-folder, or the name that `/upload/image`
                returned: the digest with a suffix.
        """
        plain = name.removesuffix(" [input]")
        digest = plain.rpartition("/")[2].partition(".")[0]
        with self._lock:
            if not _DIGEST.fullmatch(digest):
                digest = self._digests.get(plain, "")
        return f"{UPLOADED}{digest}" if digest else plain


class Clients:
    """The clients with an open WebSocket, by id.

    For clients that submit a run before they connect, it keeps the number of the event to start from.
    """

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        self._since: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def submitted(self, client: str, since: int) -> None:
        """Remember the last event before a client's run, in case the client connects later.

        Args:
            client: the client's id.
            since: the number of the event.
        """
        with self._lock:
            if self._open.get(client):
                return
            self._since.setdefault(client, since)
            while len(self._since) > _MOST:
                self._since.popitem(last=False)

    def connected(self, client: str) -> int | None:
        """Add a connected client; returns the number of the event after which it must be sent events.

        None means: only events from now on.
        """
        with self._lock:
            self._open[client] = self._open.get(client, 0) + 1
            return self._since.pop(client, None)

    def disconnected(self, client: str) -> None:
        """Remove a client's connection."""
        with self._lock:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]


class ComfyServices:
    """The objects that the routes of ComfyUI's API share."""

    def __init__(self, services: Services) -> None:
        self.served = services
        self.notes = NotesOfRuns(services.queue)
        self.uploads = UploadNames()
        self.clients = Clients()


async def comfy(request: Request) -> ComfyServices:
    """Return the `ComfyServices` of the application that handles a request."""
    return of_app(request.app)


def of_app(app: FastAPI) -> ComfyServices:
    """Return the `ComfyServices` of an application; they are created at the first call."""
    state = app.state
    if not hasattr(state, "comfyui"):
        state.comfyui = ComfyServices(state.services)
    return cast(ComfyServices, state.comfyui)


def _joined(subfolder: str, filename: str) -> str:
    return f"{subfolder}/{filename}" if subfolder else filename
