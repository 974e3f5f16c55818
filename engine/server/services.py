"""The objects that the routes of the API share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from engine.catalogue import Catalogue
from engine.queue import RunQueue
from engine.queue.stream_events import GraphChanged
from engine.server.drafts import Drafts
from engine.server.event_hub import EventHub
from engine.server.limits import Limits
from engine.server.request_limit import RequestLimit
from engine.server.saved_graphs import SavedGraph, SavedGraphs
from engine.server.submitter import Submitter
from engine.server.thumbnails import Thumbnails
from engine.server.uploads import Uploads
from engine.settings import Settings
from engine.values import sha256


@dataclass(frozen=True, slots=True)
class Services:
    """The home folder that is served, and the parts that work on it."""

    settings: Settings
    limits: Limits
    queue: RunQueue
    catalogue: Catalogue
    submitter: Submitter
    graphs: SavedGraphs
    drafts: Drafts
    uploads: Uploads
    thumbnails: Thumbnails
    hub: EventHub
    """Wakes the readers of events."""
    streams: RequestLimit
    """The readers of events."""
    calls: RequestLimit
    """The calls of graphs that wait for their run."""

    def announce_graph(self, saved: SavedGraph, by: str) -> None:
        """Tell the readers of events that a graph was saved."""
        self.queue.events.publish(GraphChanged(saved.id, saved.revision, by), document=saved.id)

    def made_picture(self, digest: str) -> tuple[bytes, str] | None:
        """The bytes and the media type of a file that a run has made; None if there is none."""
        if (sample := self.queue.outputs.sample(digest)) is not None:
            return sample.data, sample.media
        record = self.queue.outputs.by_digest(digest)
        if record is None:
            return None
        try:
            data = record.path.read_bytes()
        except OSError:
            return None
        return (data, record.media) if sha256(data) == digest else None

    def close(self, seconds: float) -> None:
        """Stop the queue and the helper processes; see `RunQueue.close`."""
        self.submitter.close()
        self.queue.close(seconds)
        self.catalogue.close()
        self.thumbnails.close()


async def services(request: Request) -> Services:
    """The services of the application that handles a request. FastAPI calls a `def` on another thread."""
    return cast(Services, request.app.state.services)


Served = Annotated[Services, Depends(services)]
"""The services, as a parameter of a route."""
