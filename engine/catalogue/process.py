"""The catalogue's child process, which runs the code of node packs to answer the parent's questions.

Every message is a JSON object (see `workers.frames`). The parent process sends
`{"id": N, "question": NAME, "arguments": {...}}`, where NAME is a method of `Answers`. This process sends:

- `{"say": "ready"}`: once, after the start.
- `{"say": "answer", "id": N, "answer": ...}`: the answer.
- `{"say": "refused", "id": N, "problems": [...]}`: the question cannot be answered because of these problems.
- `{"say": "changed", "what": "types" or "models", "etag": ETAG}`: node packs or model files have changed.
"""

from __future__ import annotations

import json
import os
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from engine.catalogue.datasets import Datasets
from engine.check.portable import make_portable
from engine.document import writer
from engine.document.run_request import RunRequest
from engine.errors import GraphError, NodeError, Problem, error_text
from engine.packs import named_graphs
from engine.packs.model_files import ModelFile, listed, picture
from engine.packs.other_apis import described_for
from engine.plan.fingerprints import unreadable_files
from engine.session import Session
from engine.values import canonical, sha256
from engine.workers.frames import BrokenFrame, FrameWriter, frames

THREADS = 4
"""The number of questions that are answered at the same time."""
PICTURE_THREADS = 2
"""The number of thumbnails that are drawn at the same time; other questions do not wait for them."""
POLL_SECONDS = 1.0
"""The seconds between two checks for changes of node packs and model folders."""
_MOST_FOLDERS = 2000


class Answers:
    """Answers questions about a home folder, with a method for each. The arguments and answers are JSON.

    Args:
        session: the home folder.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._types: tuple[str, dict[str, Any]] | None = None
        self._pictures: dict[str, Path] = {}

    def types(self, etag: str | None = None) -> dict[str, Any]:
        """Return the node types and their etag; only the etag if it equals `etag`, which the parent has."""
        known, tree = self._described()
        return {"etag": known} if etag == known else {"etag": known, **tree}

    def validate(self, request: dict[str, Any], plan: bool) -> dict[str, Any]:
        """Check a run request: return its problems, the request with its random seeds drawn, and its plan."""
        session = self._session
        given = RunRequest.from_json(request)
        session.registry.refresh()
        drawn = session.draw(given.graph, given.values)
        resolved = replace(given, graph=drawn.graph, values=drawn.values)
        files = session.files.for_run(given.graph.folder, given.out)
        graph, values = make_portable(drawn.graph, drawn.values, session.registry, files)
        checked = session.check(graph, values)
        problems = [*session.registry.problems, *checked.problems]
        steps: list[dict[str, Any]] = []
        targets: list[str] = []
        estimate: dict[str, Any] | None = None
        if checked.ok and plan:
            try:
                planned = session.plan_checked(checked, given.targets, name=given.name, files=files)
            except GraphError as error:
                problems += error.problems
            else:
                reasons = session.reasons(planned)
                expected = session.estimate(planned, reasons.record, files)
                estimate = expected.as_json()
                targets = list(planned.targets)
                steps = [
                    {
                        "node": step.id,
                        "type": step.bound.type.id,
                        "action": step.action,
                        "key": step.key if step.storable else None,
                        "reason": reasons.why(step),
                        **expected.of_step(step.id).as_json(),
                    }
                    for step in planned.steps.values()
                ]
        else:
            try:
                problems += unreadable_files(checked, files, given.targets)  # the plan reports them too
            except GraphError as error:
                problems += error.problems
        problems += session.advice(checked, files)
        texts, warnings = session.text_lengths(checked, files) if plan else ([], [])
        problems += warnings
        return {
            "request": resolved.to_json() if drawn.seeds else None,  # None: as it was sent
            "values": checked.values,
            "seeds": drawn.seeds,
            "problems": [problem.as_json() for problem in dict.fromkeys(problems)],
            "plan": steps,
            "targets": targets,
            "estimate": estimate,
            "texts": [
                {"node": text.node, "input": text.input, "chunks": list(text.chunks), "room": text.room}
                for text in texts
            ],
        }

    def models(self, kind: str | None, model: str | None) -> list[dict[str, Any]]:
        """Return the model files as JSON; see `Catalogue.models`."""
        self._session.settings.store_folder.mkdir(
            parents=True, exist_ok=True
        )  # facts about files are kept there
        return [self._with_thumb(row) for row in listed(self._session.files, kind, model)]

    def model_picture(self, id: str) -> str | None:
        """Return a model's picture file in base64 by its `thumb`; None if the file no longer exists."""
        if id not in self._pictures:
            self.models(None, None)
        path = self._pictures.get(id)
        data = None if path is None else picture(path)
        return None if data is None else b64encode(data).decode()

    def _with_thumb(self, row: ModelFile) -> dict[str, Any]:
        """Convert a model file to JSON, with an id (`thumb`) in place of the path of its picture."""
        tree = row.as_json()
        path = tree.pop("picture")
        tree["thumb"] = None
        with suppress(OSError):
            if path is not None:
                info = os.stat(path)
                tree["thumb"] = sha256(canonical([path, info.st_size, info.st_mtime_ns]))[:32]
                self._pictures[tree["thumb"]] = Path(path)
        return tree

    def read_file(self, name: str, data: str) -> dict[str, Any]:
        """Read the graph in a file of any kind, whose content in base64 is `data`."""
        imported = self._session.read(Path(Path(name).name or "file"), b64decode(data, validate=True))
        return {
            "graph": json.loads(writer.dump(imported.graph)),
            "origin": imported.origin,
            "problems": [problem.as_json() for problem in imported.problems],
            "nodes": dict(imported.nodes),
            "outputs": dict(imported.outputs),
        }

    def lists_for(self, program: str) -> dict[str, Any]:
        """Return the lists of another program's API; see `Catalogue.lists_for`."""
        session = self._session
        session.registry.refresh()
        return dict(described_for(session.registry.describers, program, session.files))

    def examples(self) -> dict[str, str]:
        """Return the paths of the example graphs' files, keyed by name."""
        known = named_graphs.listed(self._session.settings.home / "graphs")
        return {graph.name: str(graph.path) for graph in known if graph.example}

    def refreshed(self) -> str | None:
        """Reload changed node packs. Returns the new etag of the node types; None if they are unchanged."""
        before = self._types
        if not self._session.registry.refresh():
            return None
        with self._lock:
            self._types = None
        after = self._described()[0]
        return None if before is not None and before[0] == after else after

    def _described(self) -> tuple[str, dict[str, Any]]:
        with self._lock:
            if self._types is None or self._session.registry.refresh():
                registry = self._session.registry
                tree = {
                    "types": [registry.types[name].schema() for name in sorted(registry.types)],
                    "problems": [problem.as_json() for problem in registry.problems],
                }
                self._types = sha256(canonical(tree))[:32], tree
            return self._types


class Process:
    """Answers the parent process's questions until the parent closes the pipe.

    Args:
        session: the home folder.
        incoming: the pipe that the parent writes to.
        outgoing: the pipe that the parent reads.
    """

    def __init__(self, session: Session, incoming: BinaryIO, outgoing: FrameWriter) -> None:
        self._session, self._incoming, self._outgoing = session, incoming, outgoing
        self._answers, self._datasets = Answers(session), Datasets(session)
        self._ended = threading.Event()

    def serve(self) -> None:
        """Answer questions until the parent closes the pipe."""
        questions: dict[str, Callable[..., Any]] = {
            "types": self._answers.types,
            "validate": self._answers.validate,
            "models": self._answers.models,
            "model_picture": self._answers.model_picture,
            "read_file": self._answers.read_file,
            "examples": self._answers.examples,
            "lists_for": self._answers.lists_for,
            "dataset": self._datasets.read,
            "dataset_picture": self._datasets.thumbnail,
        }
        self._session.create_folders()
        self._outgoing.write({"say": "ready"})
        threading.Thread(target=self._watch, name="safelight-watch", daemon=True).start()
        with (
            ThreadPoolExecutor(THREADS, "safelight-answer") as answers,
            ThreadPoolExecutor(PICTURE_THREADS, "safelight-picture") as pictures,
        ):
            for message in frames(self._incoming):
                question = message["question"]
                pool = pictures if question == "dataset_picture" else answers
                pool.submit(self._answer, message, questions[question])
        self._ended.set()

    def _answer(self, message: dict[str, Any], answer: Callable[..., Any]) -> None:
        try:
            reply = {"say": "answer", "answer": answer(**message["arguments"])}
        except GraphError as error:
            reply = {"say": "refused", "problems": [problem.as_json() for problem in error.problems]}
        except NodeError as error:
            problem = Problem(error.code, error.message, hint=error.hint, input=error.input)
            reply = {"say": "refused", "problems": [problem.as_json()]}
        except Exception as error:  # the code of a node pack may raise anything
            problem = Problem("catalogue_failed", error_text(error))
            reply = {"say": "refused", "problems": [problem.as_json()]}
        self._outgoing.write({**reply, "id": message["id"]})

    def _watch(self) -> None:
        """Report changes of node packs and model folders to the parent, until it closes the pipe."""
        try:
            folders = self._folders()
            while not self._ended.wait(POLL_SECONDS):
                if (etag := self._answers.refreshed()) is not None:
                    self._outgoing.write({"say": "changed", "what": "types", "etag": etag})
                if (now := self._folders()) != folders:
                    folders = now
                    self._outgoing.write({"say": "changed", "what": "models", "etag": ""})
        except (OSError, ValueError):
            return  # the parent has ended

    def _folders(self) -> dict[str, int]:
        """Return the modification time of each model folder; adding or removing a file changes it."""
        settings = self._session.settings
        roots = [
            settings.home / "models",
            *(place for places in settings.folders.values() for place in places),
        ]
        times: dict[str, int] = {}
        for root in roots:
            for folder, _, _ in os.walk(root):
                if len(times) >= _MOST_FOLDERS:
                    return times
                try:
                    times[folder] = os.stat(folder).st_mtime_ns
                except OSError:
                    continue
        return times


def main(settings: str, incoming: BinaryIO, outgoing: BinaryIO) -> int:
    """Open the home folder and answer questions until the parent closes the pipe; return the exit code.

    Args:
        settings: a JSON object with `home`, settings that override those of the home folder, and `local`; see
            `workers.process.main`.
        incoming: the pipe that the parent writes to.
        outgoing: the pipe that the parent reads.
    """
    from engine import settings as loading

    pipe = FrameWriter(outgoing)
    given = json.loads(settings)
    home = Path(given.pop("home"))
    local = bool(given.pop("local", True))
    try:
        with Session(loading.load(home, **given), local=local) as session:
            Process(session, incoming, pipe).serve()
    except (BrokenFrame, BrokenPipeError):
        return 1
    return 0
