"""Opens a home folder for the server: the queue, the helper processes, and the saved graphs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine import settings as loading
from engine.catalogue import Catalogue
from engine.devices.compute import compute_settings, require_device
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
    """Open a home folder for a server, and close it at the end of the block.

    Args:
        home: the folder; None for the default one.
        graph: a graph file outside the home folder, which the server lists and saves in place.
        devices: one worker process is started for each.
        limits: the limits of requests.
        start: False to accept runs without starting them.

    Raises:
        GraphError: the settings are invalid, a device cannot be used, the graph file is not a graph, or
            another server uses the home.
    """
    settings = loading.load(home)
    limits = limits or Limits()
    for device in devices:
        own = settings if device == "auto" else settings.model_copy(update={"device": device})
        require_device(compute_settings(own).device)
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
        files,
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
    """Check that a file holds a graph of Safelight's own format, which can be saved in place.

    Raises:
        GraphError: the file cannot be read or is not such a graph; pictures and files of other programs must
            be opened on the page.
    """
    try:
        reader.parse(path.read_bytes())
    except OSError as error:
        raise GraphError([Problem("unreadable", f"{path} cannot be read: {error.strerror}")]) from None
