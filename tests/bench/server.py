"""The server: a burst of submissions, many readers of events, and the time from submission to event."""

from __future__ import annotations

import json
import resource
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from engine.client import Client
from engine.document import writer
from engine.errors import GraphError
from tests.bench.bench import Row, bench, new_home
from tests.engine.server.conftest import ADD, RunningServer, make_home, start_server

BURST = 10_000
READERS = 1000
RUNS = 200
MIB = 1 << 20


@contextmanager
def served() -> Iterator[RunningServer]:
    """A server on a home with small nodes."""
    with new_home() as folder:
        running = start_server(make_home(folder / "home"))
        try:
            yield running
        finally:
            running.stop()


def resident(server: RunningServer) -> float:
    """The memory of the server process in MiB."""
    with open(f"/proc/{server.process.pid}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / MIB


def milliseconds(seconds: list[float], share: float) -> float:
    """A percentile in milliseconds."""
    return round(sorted(seconds)[int(share * len(seconds))] * 1e3, 2)


@bench
def server_burst() -> Iterator[Row]:
    """One client submits until the queue is full; no run starts meanwhile."""
    graph = json.loads(writer.dump(ADD))
    with served() as server, server.client() as client:
        client.put("/queue", {"paused": True})
        client.submit(graph, {"a": 0})
        before, begun = resident(server), time.perf_counter()
        runs = [client.submit(graph, {"a": number})["run"] for number in range(1, BURST)]
        seconds = time.perf_counter() - begun
        grown = resident(server) - before
        try:
            client.submit(graph, {"a": BURST})
            code = "accepted"
        except GraphError as error:
            code = error.problems[0].code
        listed = [run["id"] for run in client.get("/runs?state=queued&limit=500")["runs"]]
    yield Row(
        f"{BURST:,} submissions in a burst",
        round((BURST - 1) / seconds),
        "accepted/s",
        "every one accepted in order, then queue_full",
        code == "queue_full" and listed[1:] == runs[:499],
        "POST /runs by one client, checked and fsynced before each answer",
    )
    yield Row(
        f"memory of the server after {BURST:,} submissions",
        round(grown, 1),
        "MiB more RSS",
        "<= 64",
        grown <= 64,
        "the requests are in the database; events and their texts are in memory",
    )


@bench
def submit_to_event() -> Iterator[Row]:
    """A warm worker and a graph of one node that adds two numbers."""
    with served() as server, server.client() as client:
        client.wait(client.submit(ADD, {"a": -1})["run"])
        heard: dict[tuple[str, str], float] = {}
        ready, done = threading.Event(), threading.Event()

        def listen() -> None:
            with server.client() as other:
                for event in other.events():
                    heard[event["run"], event["type"]] = time.perf_counter()
                    ready.set()
                    if event["type"] == "run.finished":
                        done.set()

        threading.Thread(target=listen, daemon=True).start()
        ready.wait(10)
        graph = json.loads(writer.dump(ADD))
        first: list[float] = []
        node: list[float] = []
        for number in range(RUNS):
            done.clear()
            begun = time.perf_counter()
            run = client.submit(graph, {"a": number})["run"]
            assert done.wait(30)
            first.append(heard[run, "run.queued"] - begun)
            node.append(heard[run, "node.started"] - begun)
    for name, seconds in (("its first event", first), ("its first node", node)):
        half, most = milliseconds(seconds, 0.5), milliseconds(seconds, 0.95)
        yield Row(
            f"submission to {name}, p50",
            half,
            "ms",
            "<= 5",
            half <= 5,
            f"POST /runs to server-sent event in the same client; {RUNS} runs, one after the other",
        )
        yield Row(f"submission to {name}, p95", most, "ms", "<= 20", most <= 20, "the same runs")


@bench
def server_readers() -> Iterator[Row]:
    """Many readers that read everything, one that never reads, and one that is timed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * READERS), hard))
    with served() as server, server.client() as client:
        graph = json.loads(writer.dump(ADD))
        client.wait(client.submit(graph, {"a": -1})["run"])
        alone = _latencies(server, client, graph, 0)
        before = resident(server)
        lazy = _reader(server, 1024)
        readers = [_reader(server) for _ in range(READERS)]
        ended = threading.Event()
        threading.Thread(target=_drain, args=(readers, ended), daemon=True).start()
        with_all = _latencies(server, client, graph, 1)
        grown = resident(server) - before
        ended.set()
        for item in (lazy, *readers):
            item.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    yield Row(
        f"memory of the server with {READERS:,} readers and one that never reads",
        round(grown, 1),
        "MiB more RSS",
        "<= 200",
        grown <= 200,
        f"after {RUNS} runs, each with about 9 events",
    )
    most = milliseconds(with_all, 0.95)
    yield Row(
        f"an event beside {READERS:,} readers, p95",
        most,
        "ms",
        "<= 1000",
        most <= 1000,
        "from publishing to one more reader; every reader receives every event",
        peer=milliseconds(alone, 0.95),
    )


@bench
def warm_worker() -> Iterator[Row]:
    """A second picture, with other prompt and seed, in a process that has drawn one."""
    from engine.document import reader
    from engine.queue import RunQueue
    from tests.bench.bench import GRAPH
    from tests.engine.queue.thread_worker import ThreadWorker
    from tests.engine.queue.waiting import wait

    from engine.devices.residency import Residency  # isort: skip
    from engine.document.run_request import RunRequest

    loads: list[object] = []
    load = Residency._load

    def counted(self: Residency, *words: object, **named: object) -> object:
        loads.append(words)
        return load(self, *words, **named)  # type: ignore[arg-type]

    graph = reader.parse(GRAPH.read_bytes())
    with new_home() as home, RunQueue(home, {"device": "cpu"}, worker=ThreadWorker) as queue:
        Residency._load = counted  # type: ignore[assignment, method-assign]
        figures = []
        for number, prompt in enumerate(("a red circle", "a blue square")):
            modules, loaded = set(sys.modules), len(loads)
            values: dict[str, Any] = {"prompt": prompt, "seed": number, "steps": 2}
            run = wait(queue, queue.submit(RunRequest(graph, values)).id, 120)
            assert run.summary.state == "done", run.problems
            figures.append((len(set(sys.modules) - modules), len(loads) - loaded))
        Residency._load = load  # type: ignore[method-assign]
    (first, second) = figures
    for name, index, unit in (("imports", 0, "modules"), ("loads", 1, "models")):
        yield Row(
            f"a second picture {name}",
            second[index],
            unit,
            "0",
            second[index] == 0 < first[index],
            "text to image on the embedded model, other prompt and seed",
            peer=first[index],
        )


def _latencies(server: RunningServer, client: Client, graph: object, salt: int) -> list[float]:
    """The seconds from publishing to a reader, for each event of some runs."""
    seconds: list[float] = []
    ready = threading.Event()

    def listen() -> None:
        with server.client() as other:
            for event in other.events():
                if event["type"] != "hello":
                    seconds.append(time.time() - event["ts"])
                ready.set()

    threading.Thread(target=listen, daemon=True).start()
    ready.wait(60)
    runs = [client.submit(graph, {"a": number, "b": salt})["run"] for number in range(RUNS)]  # type: ignore[arg-type]
    client.wait(runs[-1], 600)
    time.sleep(0.5)
    return list(seconds)


def _reader(server: RunningServer, buffer: int | None = None) -> socket.socket:
    """A connection that has asked for the events."""
    made = socket.create_connection(("127.0.0.1", server.port))
    if buffer is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    head = f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
    made.sendall(f"{head}Authorization: Bearer {server.token}\r\n\r\n".encode())
    return made


def _drain(readers: list[socket.socket], ended: threading.Event) -> None:
    """Read what comes for all readers."""
    import selectors

    with selectors.DefaultSelector() as selector:
        for item in readers:
            item.setblocking(False)
            selector.register(item, selectors.EVENT_READ)
        while not ended.is_set():
            for key, _ in selector.select(0.5):
                try:
                    key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                except OSError:
                    selector.unregister(key.fileobj)
