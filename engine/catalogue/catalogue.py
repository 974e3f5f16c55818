"""Answers questions that need the code of node packs, by asking a child process that can be replaced."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from base64 import b64decode, b64encode
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

from engine.document import reader
from engine.document.run_request import RunRequest
from engine.errors import GraphError, Problem
from engine.listed_pictures import ListedPicture, UnlistedFile
from engine.queue.event_log import EventLog
from engine.queue.stream_events import ModelsChanged, TypesChanged
from engine.sources.foreign import Imported
from engine.values import Json
from engine.workers.frames import BrokenFrame, FrameWriter, frames
from engine.workers.messages import problem_from_json

ANSWER_SECONDS = 30.0
"""The seconds after which a child process that has not answered is replaced."""
_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class NodeTypes:
    """The node types of all node packs."""

    etag: str
    """Changes whenever the types change."""
    types: list[dict[str, Any]]
    """The types in the form of `NodeType.schema`, sorted by name."""
    problems: list[Problem]
    """The problems of packs that cannot be loaded."""


@dataclass(frozen=True, slots=True)
class PlannedAction:
    """One step of a plan: what the run does with it, why, and its estimated time and memory."""

    node: str
    """The id of the step; `denoise[2]` for an element of a node that goes through a list."""
    type: str
    action: str
    """`run`, `may_run`, `reuse`, `share` or `unneeded`; see `events.PlannedStep`."""
    key: str | None
    """The content key of the result; see `events.PlannedStep`."""
    reason: str
    seconds: float | None
    """The estimated time: that of its last run in this graph. Like the next two, None if unknown."""
    models: int | None
    """The bytes of the models that the step uses on the device."""
    memory: int | None
    """The peak memory of the step in bytes, without its models."""


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """The estimated time and memory of a run; sizes are in bytes."""

    seconds: float
    """The sum of the known times of the steps that run."""
    unknown: int
    """The number of steps that run but whose time is unknown."""
    models: int
    """The size of all models that the run loads onto the device, if all of them stay there."""
    peak: int
    """The peak memory on the device."""
    device: str
    total: int | None
    """The memory of the device; None if unknown."""
    free: int | None


@dataclass(frozen=True, slots=True)
class PromptLength:
    """The length of a prompt in tokens."""

    node: str
    """The id of the step."""
    input: str
    chunks: list[int]
    """The number of tokens in each chunk of the prompt; empty if the prompt has a syntax error."""
    room: int
    """The maximum number of tokens in a chunk."""


@dataclass(frozen=True, slots=True)
class Validation:
    """The result of checking a run request."""

    problems: list[Problem]
    """Every error and warning; a request with errors would be refused."""
    request: RunRequest
    """The request with a number in place of each random seed; the one to submit."""
    values: Mapping[str, Json]
    """The value of each input of the graph; for a swept input, the list of its values."""
    seeds: Mapping[str, list[int]]
    """The drawn seeds, keyed by place, such as `seed` or `denoise.seed`."""
    plan: list[PlannedAction]
    """The steps of the plan; empty if the request has errors."""
    targets: tuple[str, ...]
    """The nodes that the plan computes."""
    estimate: RunEstimate | None
    """The time and memory of the run; None without a plan."""
    texts: list[PromptLength]
    """The lengths of the prompts that are known before the run; empty without a plan."""

    @property
    def ok(self) -> bool:
        """True if the request has no errors, so that it can run."""
        return all(problem.severity != "error" for problem in self.problems)


@dataclass(frozen=True, slots=True)
class Completion:
    """One completion of a word that the user types in a prompt."""

    text: str
    """The text to insert, such as `<lora:ink:1>` or `<ruby>`."""
    name: str
    """The name of the model file."""
    kind: str
    base: str | None
    """The model family that the file is for; None if unknown."""


@dataclass(frozen=True, slots=True)
class DatasetListing:
    """The pictures of a dataset, or of another value at an output of a node."""

    id: str
    """The digest of the value; requests for its pictures name it."""
    pictures: list[ListedPicture]
    left_out: list[UnlistedFile]
    """The files that look like pictures but cannot be used."""
    warnings: list[str]
    """The warnings of the node."""


def _invoked(trigger: str) -> str:
    """Write an embedding as a tag that every prompt syntax understands."""
    return f"<{trigger.strip('<>')}>"


class Catalogue:
    """Answers questions about node types, graphs and model files.

    The answers come from a child process, because node packs may hang, crash or import large libraries. If
    the process dies or does not answer in time, it is replaced; a question during which it died is asked once
    more. Any thread may ask.

    Args:
        home: the home folder.
        settings: settings that override those of the home folder, and `local`, as for `RunQueue`.
        events: receives the events `types.changed` and `models.changed`.
        seconds: the timeout for an answer.
        log: an open file for the text that packs print; None for the standard error of this process.

    Raises (every question):
        GraphError: the child process died (`catalogue_died`), did not answer in time (`catalogue_timeout`),
            or refused the question; then the problems have the reasons.
    """

    def __init__(
        self,
        home: Path,
        settings: Mapping[str, Any] | None = None,
        events: EventLog | None = None,
        *,
        seconds: float = ANSWER_SECONDS,
        log: int | BinaryIO | None = None,
    ) -> None:
        self._settings = json.dumps({**(settings or {}), "home": str(home)})
        self._events, self._seconds, self._log = events, seconds, log
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._closed = False
        self._types: NodeTypes | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The process id of the child process; None if it does not run."""
        child = self._child
        return child.process.pid if child is not None and child.alive else None

    def start(self) -> None:
        """Start the child process now; otherwise the first question starts it."""
        self._current()

    def types(self) -> NodeTypes:
        """Return the installed node types."""
        known = self._types
        answer = self._ask("types", {"etag": known.etag if known is not None else None})
        if known is None or answer["etag"] != known.etag:
            problems = list(map(problem_from_json, answer["problems"]))
            known = self._types = NodeTypes(answer["etag"], answer["types"], problems)
        return known

    def validate(self, request: RunRequest, *, plan: bool = True) -> Validation:
        """Check a run request, draw its random seeds, and plan the run.

        Args:
            request: the request.
            plan: False to leave out the plan, which takes longer because it reads the store.
        """
        answer = self._ask("validate", {"request": request.to_json(), "plan": plan})
        return Validation(
            list(map(problem_from_json, answer["problems"])),
            request if answer["request"] is None else RunRequest.from_json(answer["request"]),
            answer["values"],
            answer["seeds"],
            [PlannedAction(**step) for step in answer["plan"]],
            tuple(answer["targets"]),
            None if answer["estimate"] is None else RunEstimate(**answer["estimate"]),
            [PromptLength(**text) for text in answer["texts"]],
        )

    def models(
        self, kind: str | None = None, base: str | None = None, q: str = "", *, model: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the model files in the form of `ModelFile.as_json`, with the id of their picture as `thumb`.

        Args:
            kind: only files of this kind, such as `lora`.
            base: only files for this model family, or of unknown family.
            q: only files with all these words in their name or trigger words; case is ignored.
            model: the model whose embedding width embeddings are compared with.
        """
        rows: list[dict[str, Any]] = self._ask("models", {"kind": kind, "model": model})
        return [row for row in rows if row["base"] in (None, base or row["base"]) and _has(row, q)]

    def model_picture(self, id: str) -> bytes | None:
        """Return the bytes of a model's picture file by its `thumb` in `models()`; None if there is none."""
        data: str | None = self._ask("model_picture", {"id": id})
        return None if data is None else b64decode(data)

    def complete(
        self, q: str = "", *, kind: str | None = None, base: str | None = None, limit: int = 20
    ) -> list[Completion]:
        """Complete a word of a prompt to embeddings, LoRAs and other models that have a prompt tag.

        Args:
            q: the typed part of the word, without `<`; names that begin with it come first.
            kind: only models of this kind.
            base: only models for this family, or of unknown family.
            limit: the maximum number of completions.
        """
        rows = [row for row in self.models(kind, base, q) if row["problem"] is None]
        found = [
            Completion(text, row["file"], row["kind"], row["base"])
            for row in rows
            for text in ([row["tag"]] if row["tag"] else map(_invoked, row["triggers"][:1]))
        ]
        word = q.lower()
        found.sort(key=lambda item: (not item.name.lower().startswith(word), item.name.lower()))
        return found[:limit]

    def read_file(self, name: str, data: bytes) -> Imported:
        """Read the graph in a picture, a graph file, or a file of another program.

        Args:
            name: the file's name, for messages and titles.
            data: the content of the file.

        Raises:
            GraphError: the file contains no usable graph.
        """
        answer = self._ask("read_file", {"name": name, "data": b64encode(data).decode()})
        problems = tuple(map(problem_from_json, answer["problems"]))
        graph = reader.from_json(answer["graph"])
        return Imported(graph, answer["origin"], problems, answer["nodes"], answer["outputs"])

    def lists_for(self, program: str) -> dict[str, Any]:
        """Return node types, names and model files in the form in which another program's API lists them.

        Args:
            program: `comfyui` or `a1111`; see `packs.other_apis`.
        """
        lists: dict[str, Any] = self._ask("lists_for", {"program": program})
        return lists

    def dataset(self, request: RunRequest, node: str, output: str) -> DatasetListing:
        """List the pictures of a dataset at an output of a node.

        If the dataset is not cached, it is computed now, unless that takes long or needs a model.

        Args:
            request: the graph, and values for its inputs.
            node: the id of the node.
            output: the name of its output.

        Raises:
            GraphError: the graph has errors or a step failed; the dataset must first be computed by a run
                (`not_computed`); or the output has no pictures (`not_a_dataset`).
        """
        arguments = {"request": request.to_json(), "node": node, "output": output}
        answer = self._ask("dataset", arguments)
        return DatasetListing(
            answer["id"],
            [ListedPicture(**row) for row in answer["pictures"]],
            [UnlistedFile(**row) for row in answer["left_out"]],
            answer["warnings"],
        )

    def dataset_picture(self, id: str, place: int, side: int) -> bytes:
        """Return a thumbnail of a picture of a dataset, as a WEBP file.

        Args:
            id: the id of the dataset, from `dataset()`.
            place: the index of the picture in the dataset.
            side: the maximum width and height.

        Raises:
            GraphError: the dataset or the picture is unknown (`unknown_dataset`).
        """
        return b64decode(self._ask("dataset_picture", {"id": id, "place": place, "side": side}))

    def examples(self) -> dict[str, Path]:
        """Return the paths of the example graphs' files, keyed by name."""
        return {name: Path(path) for name, path in self._ask("examples", {}).items()}

    def close(self) -> None:
        """End the child process; may be called several times."""
        with self._lock:
            self._closed = True
            child, self._child = self._child, None
        if child is not None:
            child.close()

    def _ask(self, question: str, arguments: dict[str, Any]) -> Any:
        for left in range(_ATTEMPTS - 1, -1, -1):
            child = self._current()
            answer = child.ask(question, arguments)
            try:
                return answer.result(self._seconds)
            except NoAnswer:
                child.kill()
                message = f"the node packs did not answer within {self._seconds:g} seconds"
                hint = "a pack may hang; the log of the server names it"
                raise GraphError([Problem("catalogue_timeout", message, hint=hint)]) from None
            except _Died as error:
                if not left or self._closed:
                    message = f"the process that loads the node packs crashed: {error}"
                    hint = "a pack may have crashed; the log of the server names it"
                    raise GraphError([Problem("catalogue_died", message, hint=hint)]) from None
        raise AssertionError("the loop returns or raises")

    def _current(self) -> _Child:
        """Return the child process, and start a new one if none is running."""
        with self._lock:
            if self._closed:
                raise GraphError([Problem("catalogue_died", "the server is stopping")])
            if self._child is None or not self._child.alive:
                self._child = _Child(self._settings, self._log, self._changed)
            return self._child

    def _changed(self, what: str, etag: str) -> None:
        if self._events is not None:
            self._events.publish(TypesChanged(etag) if what == "types" else ModelsChanged())


class _Died(Exception):
    """Raised if the child process ended before it answered."""


class _Child:
    """One child process, and the questions that it has not answered yet."""

    def __init__(self, settings: str, log: int | BinaryIO | None, changed: Any) -> None:
        self._changed = changed
        self._lock = threading.Lock()
        self._open: dict[int, Future[Any]] = {}
        self._count = 0
        self.alive = True
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine.catalogue", settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # Ctrl-C in a terminal reaches only the owner, which decides what to do
        )
        self._pipe = FrameWriter(cast("BinaryIO", self.process.stdin))
        self._reader = threading.Thread(target=self._read, name="safelight-catalogue-reader", daemon=True)
        self._reader.start()

    def ask(self, question: str, arguments: dict[str, Any]) -> Future[Any]:
        """Send a question. The returned future has the answer, or the exception GraphError or `_Died`."""
        future: Future[Any] = Future()
        with self._lock:
            if not self.alive:
                future.set_exception(_Died("it ended"))
                return future
            self._count += 1
            number = self._count
            self._open[number] = future
        try:
            self._pipe.write({"id": number, "question": question, "arguments": arguments})
        except OSError:
            pass  # it has died; the reader says so to every open question
        return future

    def kill(self) -> None:
        """Kill the process; the futures of its open questions then raise `_Died`."""
        self.alive = False
        if self.process.poll() is None:
            self.process.kill()

    def close(self) -> None:
        """End the process: close its pipe, and kill it if it has not ended after a second."""
        self.alive = False
        self._pipe.close()
        try:
            self.process.wait(1.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._reader.join()

    def _read(self) -> None:
        pipe = cast("BinaryIO", self.process.stdout)
        try:
            for message in frames(pipe):
                self._take(message)
        except (BrokenFrame, OSError, KeyError, ValueError):
            self.process.kill()
        code = self.process.wait()
        with self._lock:
            self.alive = False
            left = list(self._open.values())
            self._open.clear()
        self._pipe.close()
        pipe.close()
        for future in left:
            future.set_exception(_Died(f"exit code {code}"))

    def _take(self, message: dict[str, Any]) -> None:
        if message["say"] == "changed":
            self._changed(message["what"], message["etag"])
        elif message["say"] != "ready":
            with self._lock:
                future = self._open.pop(message["id"], None)
            if future is None:
                return
            if message["say"] == "answer":
                future.set_result(message["answer"])
            else:
                future.set_exception(GraphError(map(problem_from_json, message["problems"])))


def _has(row: Mapping[str, Any], q: str) -> bool:
    text = " ".join([row["file"], *row["triggers"], row["tag"] or ""]).lower()
    return all(word in text for word in q.lower().split())
