"""A client of a Safelight server, for scripts and the command line; it needs only the standard library.

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
"""A connection that was idle for longer is opened again."""


class Client:
    """A connection to a server. One thread at a time may use it.

    Args:
        url: the address of the server, such as `http://127.0.0.1:8400`.
        token: the token that the server prints when it starts.
        timeout: the seconds to wait for an answer. Calls of graphs and events wait as long as they need.

    Every method raises GraphError: with the problems of a refused request, or with the code `no_server` if
    the server cannot be reached or gives no valid answer.
    """

    def __init__(self, url: str, token: str, timeout: float = 60.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            hint = "write it as http://127.0.0.1:8400"
            raise GraphError([Problem("bad_use", f"{url!r} is not the address of a server", hint=hint)])
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
        """The version, devices and limits of the server."""
        return self._object("GET", "/info")

    def devices(self) -> list[dict[str, Any]]:
        """The devices of each worker: memory, settings in effect, and loaded models."""
        rows: list[dict[str, Any]] = self._object("GET", "/devices")["workers"]
        return rows

    def graphs(self) -> list[dict[str, Any]]:
        """The graphs that the server knows by id."""
        rows: list[dict[str, Any]] = self._object("GET", "/graphs")["graphs"]
        return rows

    def validate(
        self, graph: Graph | Mapping[str, Any], inputs: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The problems of a graph, and the plan of a run."""
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
        """Add a run to the queue; the answer has its id under `run`.

        Args:
            graph: a graph, its JSON, or the id of a graph that the server has.
            inputs: values for its inputs.
            sweep: lists of values for its inputs.
            targets: the nodes to compute; none means the declared outputs.
            key: an idempotency key: a second submission with it returns the first run.
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
        """Run a graph of the server and wait for its outputs.

        Args:
            graph: its id.
            inputs: values for its inputs.
            timeout: the seconds to wait; if it still runs then, the answer has its state and no outputs.
        """
        path = f"/graphs/{quote(graph, safe='')}/call?" + urlencode({"timeout": timeout})
        return self._object("POST", path, dict(inputs or {}), timeout=timeout + self._timeout)

    def run(self, id: str) -> dict[str, Any]:
        """Everything about one run."""
        return self._object("GET", f"/runs/{quote(id, safe='')}")

    def cancel(self, id: str) -> dict[str, Any]:
        """Cancel a run in any state; returns its summary."""
        return self._object("POST", f"/runs/{quote(id, safe='')}/cancel", {})

    def wait(self, id: str, timeout: float | None = None) -> dict[str, Any]:
        """Wait until a run has ended; returns it as `run` does.

        Raises:
            TimeoutError: it still runs after `timeout` seconds.
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
        """Follow the events of all runs.

        Args:
            since: replay the events after this number.
            timeout: end after so many seconds without an event; None never ends by itself.
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
        """Upload a file; returns the name by which file inputs take it: `sha256:` and the digest."""
        answer = self._object("POST", "/blobs", data)
        return f"sha256:{answer['hash']}"

    def download(self, url: str) -> bytes:
        """The bytes of a file by the address in an output, such as `/api/v1/outputs/1/file`."""
        return self._answer("GET", url, None, self._timeout)

    def import_file(self, name: str, data: bytes) -> dict[str, Any]:
        """The graph in a picture, or in a file of another program; the answer has it under `graph`."""
        return self._object("POST", "/import?" + urlencode({"name": name}), data)

    def get(self, path: str) -> dict[str, Any]:
        """The answer of any other address of the API, such as `/models?kind=lora`."""
        return self._object("GET", path)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a change to any other address of the API; empty if the answer has no body."""
        return self._object("POST", path, dict(body or {}))

    def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Set something, such as whether the queue is paused."""
        return self._object("PUT", path, dict(body))

    def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change a part of something, such as the star of an output."""
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
            raise self._lost(ValueError("the answer is not an object"))
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
        """Raise the problems of a refused request."""
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
        message = f"the server at {self.url} gives no valid answer: {error or type(error).__name__}"
        hint = "check its address; safelight serve starts one"
        return GraphError([Problem("no_server", message, hint=hint)])


def _tree(graph: Graph | Mapping[str, Any]) -> Any:
    return json.loads(writer.dump(graph)) if isinstance(graph, Graph) else dict(graph)
