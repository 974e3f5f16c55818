"""`safelight run --server`: runs a graph on a server, shows its progress, and fetches its outputs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli import say
from engine.errors import GraphError, Problem
from engine.paths import expanded, slug

if TYPE_CHECKING:
    from engine.cancel import Cancel
    from engine.client import Client
    from engine.document.run_request import RunRequest
    from engine.events import Emit, Event
    from engine.session import Session

TOKEN = "SAFELIGHT_TOKEN"
CANCEL_SECONDS = 5.0
"""The seconds that the server may take to accept a cancellation."""

ServerUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Run the graph on this server, such as http://127.0.0.1:8400."),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help=f"The token of the server; default: {TOKEN}, or that of a server of the same home.",
    ),
]


def client(url: str, token_file: Path | None, home: Path) -> Client:
    """Create a client for a server.

    Args:
        url: the URL of the server.
        token_file: the file with the server's token; None to find the token in the home folder.
        home: the home folder; a server on this machine that serves it stores its token there.

    Raises:
        GraphError: the token is not known.
    """
    from engine.client import Client
    from engine.server.address_file import token_of
    from engine.server.security.tokens import read_token

    if token_file is not None:
        token: str | None = read_token(expanded(token_file))
    else:
        token = os.environ.get(TOKEN) or token_of(home, url)
    if not token:
        hint = f"add --token-file FILE, or set {TOKEN}"
        raise GraphError([Problem("no_token", f"the token of {url} is not known", hint=hint)])
    return Client(url, token)


def run(server: Client, request: RunRequest, session: Session, emit: Emit, cancel: Cancel) -> dict[str, Any]:
    """Run a request on a server, and download its outputs. Returns the answer of `--json`.

    Args:
        server: the client of the server.
        request: the run. Local files that its inputs name are uploaded.
        session: the session whose home folder has the default folder for outputs.
        emit: receives the events.
        cancel: cancels the run on the server.

    Raises:
        GraphError: the server refuses the run, or cannot be reached.
    """
    from engine.client import Client
    from engine.document.sweep import Sweep

    values = {name: _uploaded(server, request, name, value) for name, value in request.values.items()}
    sweep = {name: list(value.values) for name, value in values.items() if isinstance(value, Sweep)}
    inputs = {name: value for name, value in values.items() if not isinstance(value, Sweep)}
    submitted = server.submit(request.graph, inputs, sweep=sweep, targets=request.targets)
    id = submitted["run"]
    with (
        Client(server.url, server.token, CANCEL_SECONDS) as second,
        _cancelling(cancel, lambda: second.cancel(id)),
    ):
        for event in _events(server, id, submitted["since"]):
            emit(event)
    ended = server.wait(id)
    files = _Files(server, request, submitted["inputs"], request.out or session.settings.home / "outputs")
    return _answer(ended, submitted["inputs"], [(row, files.fetched(row)) for row in ended["outputs"]])


def _answer(
    ended: Mapping[str, Any], values: Mapping[str, Any], fetched: Sequence[tuple[dict[str, Any], Path]]
) -> dict[str, Any]:
    """Make the answer of `--json` in the form of a local run, with everything that the server tells.

    Args:
        ended: what the server knows about the run.
        values: the values of the graph's inputs.
        fetched: each written file: what the server knows about it, and its place on this machine.
    """
    report = ended["report"] or {"seconds": 0.0, "outputs": {}, "made_with": {}}  # its worker died
    outputs: dict[str, dict[str, Any]] = {name: dict(item) for name, item in report["outputs"].items()}
    for row, _ in fetched:
        outputs.setdefault(row["output"], {"type": row["type"]})
    for name, item in outputs.items():
        own = [(row["index"], str(file)) for row, file in fetched if row["output"] == name]
        item["files"] = [file for _, file in own]
        if name in ended["values"]:
            item["value"] = ended["values"][name]
        for element in item.get("elements", ()):
            element["files"] = [file for index, file in own if index == element["index"]]
    nodes = ended["nodes"].items()
    answer = {
        "state": ended["summary"]["state"],
        "run": ended["summary"]["id"],
        "seconds": report["seconds"],
        "values": values,
        "outputs": outputs,
        "nodes": {path: _node(node) for path, node in nodes if node["state"] != "unneeded"},
        "made_with": report["made_with"],
    }
    return answer | {name: ended[name] for name in ("problems", "warnings") if ended[name]}


def _node(node: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the state of a step on the server to the form of a local run."""
    seconds = round((node["ms"] or 0.0) / 1000, 6)
    told = {"state": node["state"], "cache": node["cache"] or "none", "seconds": seconds}
    told["reason"] = node["reason"] or ""
    return told | {name: node[name] for name in ("warnings", "memory") if node[name]}


@contextmanager
def _cancelling(cancel: Cancel, act: Callable[[], object]) -> Iterator[None]:
    """Context manager: while the block runs, setting the flag `cancel` calls `act`.

    `act` is called on the thread that sets the flag, so a second Ctrl-C ends this process only after `act`
    has told the server.
    """

    def cancel_run() -> None:
        with suppress(GraphError):  # the server is gone, or the run has ended
            act()

    cancel.then = cancel_run
    try:
        if cancel.asked:
            cancel_run()
        yield
    finally:
        cancel.then = None


def show(report: dict[str, Any], quiet: bool) -> None:
    """Print the result for a person."""
    from engine.workers.messages import problem_from_json

    say.problems([problem_from_json(problem) for problem in report.get("problems", ())])
    for name, output in report["outputs"].items():
        lead = "" if quiet else f"{say.line(name)}: "
        for file in output["files"]:
            say.out(f"{lead}{say.path(Path(file))}")
        if "value" in output:
            say.out(f"{lead}{json.dumps(output['value'], ensure_ascii=False)}")
    if report["state"] != "done" and not quiet:
        say.err(report["state"])


def _uploaded(server: Client, request: RunRequest, name: str, value: Any) -> Any:
    """Return the value of an input for the server; a local file is uploaded and named by its digest."""
    item = request.graph.inputs.get(name)
    if item is None or item.type != "file" or not isinstance(value, str):
        return value
    path = expanded(value)
    try:
        return server.upload(path.read_bytes()) if path.is_file() else value
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise GraphError([Problem("unreadable", message, input=name)]) from None


class _Files:
    """Fetches the files of a run, and names them as a run on this machine does.

    Args:
        server: the client of the server.
        request: the run.
        values: the values of the graph's inputs; of a swept input, all of them.
        folder: the folder for the files.
    """

    def __init__(self, server: Client, request: RunRequest, values: Mapping[str, Any], folder: Path) -> None:
        from engine.outputs.folder import OutputFolder
        from engine.outputs.swept_inputs import labelled

        self._server, self._title = server, request.title
        self._folder = OutputFolder(folder, lambda place, size: False)
        self._labelled = labelled({name: values[name] for name in request.swept if name in values})

    def fetched(self, row: dict[str, Any]) -> Path:
        """Download a file, and write it to the folder; return its path."""
        from engine.outputs.swept_inputs import with_labels
        from engine.outputs.writer import SUFFIXES

        data = self._server.download(row["url"])
        stem = with_labels(f"{slug(self._title)}-{slug(row['output'])}", row["values"], self._labelled)
        return self._folder.add(stem, SUFFIXES.get(row["media"], ".bin"), data)


def _events(server: Client, id: str, since: int) -> Iterator[Event]:
    """Yield the events of a run on a server until it ends, in the form of a run on this machine."""
    from engine import events

    for event in server.events(since=since):
        if event["run"] != id:
            continue
        data = event["data"]
        match event["type"]:
            case "run.plan":
                steps = [
                    events.PlannedStep(
                        node, item["type"], item["action"], item["tier"], 0.0, None, False, None
                    )
                    for node, item in data["nodes"].items()
                ]
                yield events.Planned(id, "", tuple(steps))
            case "node.started":
                yield events.Started(data["path"])
            case "node.progress":
                yield events.Progress(
                    data["path"],
                    data["value"],
                    data["max"],
                    data["rate"],
                    data["unit"],
                    data["stage"],
                )
            case "train.metrics":
                yield events.Metrics(data["path"], tuple(data["rows"]))
            case "node.done":
                yield events.Done(data["path"], data["ms"] / 1000, data["cache"])
            case "node.failed":
                problem = Problem(data["code"], data["message"], data["path"], data["input"], data["hint"])
                yield events.Failed(data["path"], 0.0, problem)
            case "node.skipped":
                yield events.Skipped(data["path"], data["because"])
            case "log" if data["level"] != "info":
                yield events.Warned(data["text"], event["node"])
            case "log":
                yield events.Printed(data["text"], event["node"])
            case "run.finished":
                yield events.Finished(data["state"], data["ms"] / 1000)
                return
