"""The objects that the routes of the API share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

from fastapi import Depends, Request

from engine.catalogue import Catalogue
from engine.errors import NodeError
from engine.files import Files
from engine.queue import RunQueue
from engine.queue.snapshot import OutputRecord
from engine.queue.stream_events import GraphChanged
from engine.server.drafts import Drafts
from engine.server.event_hub import EventHub
from engine.server.limits import Limits
from engine.server.refusal import Refused, refused
from engine.server.request_limit import RequestLimit
from engine.server.saved_graphs import SavedGraph, SavedGraphs
from engine.server.submitter import Submitter
from engine.server.thumbnails import Thumbnails
from engine.server.uploads import Uploads
from engine.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """The settings of the served home folder, and the objects that work on it."""

    settings: Settings
    limits: Limits
    queue: RunQueue
    catalogue: Catalogue
    submitter: Submitter
    graphs: SavedGraphs
    drafts: Drafts
    files: Files
    uploads: Uploads
    thumbnails: Thumbnails
    hub: EventHub
    """Wakes tasks that wait for events."""
    streams: RequestLimit
    """Limits the readers of events."""
    calls: RequestLimit
    """Limits the calls that wait for their runs."""

    def announce_graph(self, saved: SavedGraph, by: str) -> None:
        """Publish the event that a graph was saved.

        Args:
            saved: the graph.
            by: the tab or program that saved it.
        """
        self.queue.events.publish(GraphChanged(saved.id, saved.revision, by), document=saved.id)

    def output_file(self, record: OutputRecord) -> Path:
        """Return the path of the file of an output.

        Raises:
            Refused: the file was deleted, or no longer holds what the run wrote (410).
        """
        try:
            digest = self.files.digest(record.path)
        except NodeError:
            raise refused(410, "missing_file", "the file of this output was deleted") from None
        if digest != record.digest:
            raise refused(410, "changed_file", "the file of this output was changed or replaced")
        return record.path

    def made_file(self, digest: str) -> tuple[bytes | Path, str] | None:
        """Return the content and the media type of the output or sample with a digest.

        Returns None if no run made one, or if its file was deleted or changed.
        """
        if (sample := self.queue.outputs.sample(digest)) is not None:
            return sample.data, sample.media
        record = self.queue.outputs.by_digest(digest)
        if record is None:
            return None
        try:
            return self.output_file(record), record.media
        except Refused:
            return None

    def close(self, seconds: float) -> None:
        """Stop the queue and the helper processes; see `RunQueue.close`."""
        self.submitter.close()
        self.queue.close(seconds)
        self.catalogue.close()
        self.thumbnails.close()


async def services(request: Request) -> Services:
    """Return the services of the application that handles a request.

    It is `async`, because FastAPI would call a plain function on another thread.
    """
    return cast(Services, request.app.state.services)


Served = Annotated[Services, Depends(services)]
"""The services, as a parameter of a route."""
