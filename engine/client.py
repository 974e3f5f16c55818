"""HTTP client of a Safelight server, for scripts and the command line; needs only the standard library.

with Client("http://127.0.0.1:8400", token) as server:
    answer = server.call("text_to_image", {"prompt": "a mug", "seed": 3}, timeout=120)
    for output in answer["outputs"]["image"]["files"]:
        Path("mug.png").write_bytes(server.download(output["url"]))
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

from engine.document import writer
from engine.document.graph import Graph
from engine.errors import GraphError, Problem
from engine.workers.messages import problem_from_json

API = "/api/v1"
ENDED = ("done", "failed", "cancelled", "interrupted", "refused")
"""The states of a run that has ended."""
MAX_ANSWER = 1 << 30
IDLE_SECONDS = 20.0
"""A connection that was idle for longer than this is closed and opened again."""


class Client:
    """An HTTP connection to a Safelight server. Only one thread may use it at a time.

    Args:
        url: the URL of the server, such as `http://127.0.0.1:8400`.
        token: the token that the server prints when it starts.
        timeout: the seconds to wait for a response. `call` and `events` have timeouts of their own.

    Every method raises GraphError. If the server refuses the request, it has the problems of the response; if
    the server cannot be reached or its response is invalid, it has one problem with the code `no_server`.
    """

    def __init__(self, url: str, token: str, timeout: float = 60.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            hint = "write it as http://127.0.0.1:8400"
            raise GraphError([Problem("bad_use", f"{url!r} is not the URL of a server", hint=hint)])
        self.url = f"{parts.scheme}://{parts.netloc}"
        self.token = token
        self._parts, self._timeout = parts, timeout
        self._connection = self._connect(timeout)
        self._used = 0.0  # when the connection was used last, by `time.monotonic`

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        self._connection.close()

    def info(self) -> dict[str, Any]:
        """Return the version, devices and limits of the server."""
        return self._object("GET", "/info")

    def devices(self) -> list[dict[str, Any]]:
        """Return each worker process's devices, with their memory, settings in effect and loaded models."""
        rows: list[dict[str, Any]] = self._object("GET", "/devices")["workers"]
        return rows

    def graphs(self) -> list[dict[str, Any]]:
        """Return the graphs that the server can run by their id."""
        rows: list[dict[str, Any]] = self._object("GET", "/graphs")["graphs"]
        return rows

    def validate(
        self, graph: Graph | Mapping[str, Any], inputs: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Check a graph on the server: return its problems and the plan of a run, without running it."""
        return self._object("POST", "/graphs/validate", {"graph": _tree(graph), "inputs": dict(inputs or {})})

    def submit(
        self,
        graph: Graph | Mapping[str, Any] | str,
        inputs: Mapping[str, Any] | None = None,
        *,
        sweep: Mapping[str, Sequence[Any]] | None = None,
        targets: Sequence[str] = (),
        key: str | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Add a run to the server's queue. The returned dict has the id of the run under `run`.

        Args:
            graph: a graph, its JSON, or the id of one of the server's graphs.
            inputs: values for the graph's inputs.
            sweep: lists of values for the graph's inputs; the run makes all their combinations.
            targets: the ids of the nodes to compute; if empty, the run computes the declared outputs.
            key: an idempotency key: a second submission with the same key returns the first run.
            more: other fields of the request, such as `priority` and `times`.
        """
        body: dict[str, Any] = {"graph_id": graph} if isinstance(graph, str) else {"graph": _tree(graph)}
        body |= {"inputs": dict(inputs or {}), "targets": list(targets), **more}
        body["sweep"] = {name: list(values) for name, values in (sweep or {}).items()}
        if key is not None:
            body["idempotency_key"] = key
        return self._object("POST", "/runs", body)

    def call(
        self, graph: str, inputs: Mapping[str, Any] | None = None, *, timeout: float = 60.0
    ) -> dict[str, Any]:
        """Run one of the server's graphs and wait for its outputs.

        Args:
            graph: the id of the graph.
            inputs: values for the graph's inputs.
            timeout: the seconds to wait. If the run has not ended by then, the returned dict has its state
                and no outputs.
        """
        path = f"/graphs/{quote(graph, safe='')}/call?" + urlencode({"timeout": timeout})
        return self._object("POST", path, dict(inputs or {}), timeout=timeout + self._timeout)

    def run(self, id: str) -> dict[str, Any]:
        """Return everything that the server knows about one run."""
        return self._object("GET", f"/runs/{quote(id, safe='')}")

    def cancel(self, id: str) -> dict[str, Any]:
        """Cancel a run, whether it waits or runs, and return its summary."""
        return self._object("POST", f"/runs/{quote(id, safe='')}/cancel", {})

    def wait(self, id: str, timeout: float | None = None) -> dict[str, Any]:
        """Wait until a run has ended, and return the same dict as `run`.

        Raises:
            TimeoutError: the run has not ended after `timeout` seconds.
        """
        ends = None if timeout is None else time.monotonic() + timeout
        place: str | None = None
        while True:
            if (run := self.run(id))["summary"]["state"] in ENDED:
                return run
            for event in self.events(since=place or run["last_seq"], timeout=5.0):
                place = str(event["seq"])
                if ends is not None and time.monotonic() > ends:
                    raise TimeoutError(f"the run {id} has not ended")
                if event["run"] == id and event["type"] == "run.finished":
                    break
            if ends is not None and time.monotonic() > ends:
                raise TimeoutError(f"the run {id} has not ended")

    def events(
        self, since: int | str | None = None, timeout: float | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the events of all runs as they happen.

        Args:
            since: the `seq` of an event; the events after it are replayed first. None replays no events.
            timeout: stop after this many seconds without an event; with None, never stop.
        """
        query = "" if since is None else "?" + urlencode({"since": since})
        connection = self._connect(timeout)
        try:
            answer = self._send(connection, "GET", f"{API}/events{query}", None)
            self._check(answer)
            while line := answer.readline(MAX_ANSWER):
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])
        except TimeoutError:
            return
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._lost(error) from None
        finally:
            connection.close()

    def upload(self, data: bytes) -> str:
        """Upload a file, and return its name for file inputs of graphs: `sha256:` and its digest in hex."""
        answer = self._object("POST", "/blobs", data)
        return f"sha256:{answer['hash']}"

    def download(self, url: str) -> bytes:
        """Download the file at the URL in an output, such as `/api/v1/outputs/1/file`."""
        return self._answer("GET", url, None, self._timeout)

    def import_file(self, name: str, data: bytes) -> dict[str, Any]:
        """Read the graph in a picture or in a file of another program; it is returned under `graph`."""
        return self._object("POST", "/import?" + urlencode({"name": name}), data)

    def get(self, path: str) -> dict[str, Any]:
        """GET any other path of the API, such as `/models?kind=lora`, and return the response body."""
        return self._object("GET", path)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """POST to any other path of the API, and return the response body; empty if there is none."""
        return self._object("POST", path, dict(body or {}))

    def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """PUT to any other path of the API, for example to pause the queue, and return the response body."""
        return self._object("PUT", path, dict(body))

    def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """PATCH any other path of the API, for example to star an output, and return the response body."""
        return self._object("PATCH", path, dict(body))

    def _object(
        self, method: str, path: str, body: Any = None, *, timeout: float | None = None
    ) -> dict[str, Any]:
        data = self._answer(method, API + path, body, timeout or self._timeout)
        try:
            tree = json.loads(data or b"{}")
        except ValueError as error:
            raise self._lost(error) from None
        if not isinstance(tree, dict):
            raise self._lost(ValueError("the response is not a JSON object"))
        return tree

    def _answer(self, method: str, path: str, body: Any, timeout: float) -> bytes:
        if time.monotonic() - self._used > IDLE_SECONDS:
            self._connection.close()  # the server may have closed it, and a change is not sent twice
        for attempt in range(2):
            try:
                if self._connection.sock is not None:
                    self._connection.sock.settimeout(timeout)
                self._connection.timeout = timeout
                answer = self._send(self._connection, method, path, body)
                self._check(answer)
                self._used = time.monotonic()
                return answer.read(MAX_ANSWER)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                self._connection.close()  # the server closes an idle connection
                if attempt or method != "GET":
                    raise self._lost(error) from None
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                raise self._lost(error) from None
        raise AssertionError("unreachable")

    def _send(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: Any
    ) -> http.client.HTTPResponse:
        headers = {"Authorization": f"Bearer {self.token}"}
        data = body
        if body is not None and not isinstance(body, bytes):
            headers["Content-Type"] = "application/json"
            data = json.dumps(body, allow_nan=False).encode()
        connection.request(method, path, data, headers)
        return connection.getresponse()

    def _check(self, answer: http.client.HTTPResponse) -> None:
        """Raise GraphError with the server's problems if the response has an error status."""
        if answer.status < 400:
            return
        data = answer.read(MAX_ANSWER)
        try:
            problems = [problem_from_json(item) for item in json.loads(data)["problems"]]
        except (ValueError, KeyError, TypeError):
            raise self._lost(OSError(f"HTTP {answer.status}")) from None
        raise GraphError(problems)

    def _connect(self, timeout: float | None) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        return kind(str(self._parts.hostname), self._parts.port, timeout=timeout)

    def _lost(self, error: Exception) -> GraphError:
        message = f"the server at {self.url} gives no valid response: {error or type(error).__name__}"
        hint = "check the URL; safelight serve starts a server"
        return GraphError([Problem("no_server", message, hint=hint)])


def _tree(graph: Graph | Mapping[str, Any]) -> Any:
    return json.loads(writer.dump(graph)) if isinstance(graph, Graph) else dict(graph)
