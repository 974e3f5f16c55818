"""Runs in the terms of ComfyUI's API: node ids of the prompt, names of pictures, the history."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from engine.queue import RunQueue
from engine.queue.run_progress import node_of
from engine.queue.snapshot import OutputRecord, RunSnapshot
from engine.queue.stream_events import RunState
from engine.server.refusal import refused

API = "comfyui"
"""The mark of these runs in their notes."""
_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}
_PICTURE = re.compile(r"[^/\\]{0,200}_(\d{1,15})_\.\w{1,5}")
_CACHED = 1000


@dataclass(frozen=True, slots=True)
class Notes:
    """Data stored with a run of this API: the client, and the ids of the prompt's nodes for responses."""

    client: str | None
    nodes: Mapping[str, str]
    """The id in the prompt of each node of the graph."""
    outputs: Mapping[str, str]
    """The id in the prompt of the node that saves each output."""
    prompt: Mapping[str, Any]
    previews: bool
    """True if the client asked for pictures of unfinished results."""

    def as_json(self) -> dict[str, Any]:
        """Return the notes as the JSON that `RunQueue.submit` stores."""
        return {
            "api": API,
            "client": self.client,
            "nodes": dict(self.nodes),
            "outputs": dict(self.outputs),
            "prompt": dict(self.prompt),
            "previews": self.previews,
        }

    def node(self, path: str | None) -> str | None:
        """Return the id of a step's node in the prompt; None for a node that the prompt does not have."""
        return None if path is None else self.nodes.get(node_of(path))

    def type(self, node: str | None) -> str:
        """Return the type of a node of the prompt; empty for an unknown node."""
        entry = self.prompt.get(node or "")
        return str(entry.get("class_type", "")) if isinstance(entry, dict) else ""


class NotesOfRuns:
    """Cache for the notes of runs; thread-safe."""

    def __init__(self, queue: RunQueue) -> None:
        self._queue = queue
        self._known: OrderedDict[str, Notes | None] = OrderedDict()
        self._lock = Lock()

    def of(self, run: str) -> Notes | None:
        """Return the notes of a run; None if the run was not submitted through this API."""
        with self._lock:
            if run in self._known:
                return self._known[run]
        tree = self._queue.notes(run)
        notes = None
        if tree.get("api") == API:
            fields = (tree[name] for name in ("client", "nodes", "outputs", "prompt", "previews"))
            notes = Notes(*fields)
        with self._lock:
            self._known[run] = notes
            while len(self._known) > _CACHED:
                self._known.popitem(last=False)
        return notes


def picture_name(id: int, media: str) -> str:
    """Return the file name by which `/view` finds an output."""
    return f"ComfyUI_{id:05}_{_SUFFIXES.get(media, '.bin')}"


def output_id(filename: str) -> int:
    """Return the id of the output that a file name from `picture_name` stands for.

    Raises:
        Refused: it is not a file name from `picture_name` (404).
    """
    match = _PICTURE.fullmatch(filename)
    if match is None:
        raise refused(404, "unknown_output", f"there is no picture {filename[:100]!r}")
    return int(match[1])


def picture(id: int, media: str) -> dict[str, str]:
    """Describe an output as ComfyUI does."""
    return {"filename": picture_name(id, media), "subfolder": "", "type": "output"}


def history(run: RunSnapshot, notes: Notes) -> dict[str, Any]:
    """Create the history entry of a run that has ended."""
    summary = run.summary
    state: RunState = summary.state
    outputs: dict[str, dict[str, Any]] = {}
    for record in in_order(run.outputs):
        node = notes.outputs.get(record.output)
        if node is not None:
            outputs.setdefault(node, {"images": []})["images"].append(picture(record.id, record.media))
    ended = {"prompt_id": summary.id, "timestamp": int((summary.finished or 0) * 1000)}
    failed = next(((path, node) for path, node in run.nodes.items() if node.problem is not None), None)
    if state == "done":
        message = ["execution_success", ended]
    elif state == "cancelled":
        message = ["execution_interrupted", ended]
    else:
        problem = failed[1].problem if failed else next(iter(run.problems), None)
        message = ["execution_error", {**ended, **error_of(notes, failed and failed[0], problem or {})}]
    begun = {"prompt_id": summary.id, "timestamp": int((summary.started or summary.submitted) * 1000)}
    extra = {} if notes.client is None else {"client_id": notes.client}
    return {
        "prompt": [summary.number, summary.id, notes.prompt, extra, [*notes.outputs.values()]],
        "outputs": outputs,
        "status": {
            "status_str": "success" if state == "done" else "error",
            "completed": state == "done",
            "messages": [["execution_start", begun], message],
        },
        "meta": {node: {"node_id": node, "display_node": node} for node in outputs},
    }


def error_of(notes: Notes, path: str | None, problem: Mapping[str, Any]) -> dict[str, Any]:
    """Create the data of an `execution_error` message, without the run and the time."""
    node = notes.node(path)
    hint = problem.get("hint")
    message = str(problem.get("message") or "the run has failed")
    return {
        "node_id": node,
        "node_type": notes.type(node),
        "executed": [],
        "exception_message": f"{message} ({hint})" if hint else message,
        "exception_type": str(problem.get("code") or "failed"),
        "traceback": [],
        "current_inputs": {},
        "current_outputs": [],
    }


def in_order(outputs: Iterable[OutputRecord]) -> list[OutputRecord]:
    """Sort outputs by name; elements of a list and pictures of a batch keep their order."""
    return sorted(outputs, key=lambda record: (record.output, record.index, record.id))
