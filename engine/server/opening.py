"""Opens a home folder for the server: the queue, the helper processes, and the saved graphs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine import settings as loading
from engine.catalogue import Catalogue
from engine.digests import FileDigests
from engine.document import reader
from engine.errors import GraphError, Problem
from engine.file_facts import FileFacts
from engine.files import Files
from engine.queue import QueueLimits, RunQueue
from engine.server.drafts import Drafts
from engine.server.event_hub import EventHub
from engine.server.limits import Limits
from engine.server.request_limit import RequestLimit
from engine.server.saved_graphs import SavedGraphs
from engine.server.services import Services
from engine.server.submitter import Submitter
from engine.server.thumbnails import Thumbnails
from engine.server.uploads import Uploads

CLOSE_SECONDS = 7.0


@contextmanager
def opened(
    home: Path | None,
    graph: Path | None = None,
    *,
    devices: Sequence[str] = ("auto",),
    limits: Limits | None = None,
    start: bool = True,
) -> Iterator[Services]:
    """Open a home folder for a server, and close it after the block.

    Args:
        home: the folder; None for the default one.
        graph: a graph file that is listed, and saved in place.
        devices: one worker process is started for each.
        limits: the limits of requests.
        start: False to accept runs without executing them.

    Raises:
        GraphError: the settings are invalid, the graph file is not a graph, or another server uses the home.
    """
    settings = loading.load(home)
    limits = limits or Limits()
    if graph is not None:
        graph = graph.absolute()
        _check_graph(graph)
    queue = RunQueue(settings.home, {"local": False}, QueueLimits.of(settings), devices=devices, start=start)
    catalogue = Catalogue(settings.home, {"local": False}, queue.events)
    catalogue.start()
    digests = FileDigests(FileFacts(settings.store_folder / "files.sqlite"))
    thumbnails = Thumbnails()
    files = Files(settings.folders_of, digests, settings.home / "outputs", local=False)
    records = settings.home / "server"
    graphs = SavedGraphs(settings.home / "graphs", records, catalogue.examples, graph)
    services = Services(
        settings,
        limits,
        queue,
        catalogue,
        Submitter(queue, catalogue, graphs),
        graphs,
        Drafts(records / "drafts"),
        Uploads(files, thumbnails),
        thumbnails,
        EventHub(queue.events),
        RequestLimit(limits.streams, "readers of events"),
        RequestLimit(limits.calls, "calls that wait for their run"),
    )
    if start:
        services.submitter.repeats.resume()
    try:
        yield services
    finally:
        services.close(CLOSE_SECONDS)
        digests.close()


def _check_graph(path: Path) -> None:
    """Check that a file is a graph that can be saved in place.

    Raises:
        GraphError: it is not; a picture or another program's file is imported by the page instead.
    """
    try:
        reader.parse(path.read_bytes())
    except OSError as error:
        raise GraphError([Problem("unreadable", f"{path} cannot be read: {error.strerror}")]) from None
