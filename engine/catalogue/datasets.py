"""Lists the pictures of datasets and draws their thumbnails, in the catalogue's child process."""

from __future__ import annotations

import io
import json
import threading
from base64 import b64encode
from collections import OrderedDict
from dataclasses import asdict, replace
from typing import Any, NoReturn

from engine.cancel import Cancel
from engine.devices.compute import ComputeSettings
from engine.devices.pins import Pins
from engine.devices.recipe import Recipe
from engine.devices.residency import Residency
from engine.document.graph import From, Graph, Param
from engine.document.run_request import RunRequest
from engine.errors import GraphError, Problem
from engine.files import Files
from engine.listed_pictures import ListsPictures
from engine.observe.watch import Watch
from engine.packing import unpack
from engine.session import Session

SECONDS = 5.0
"""The seconds that computing a dataset may take here; otherwise the user must run the graph first."""
OUTPUT = "dataset"
_KEPT = 16
_QUALITY = 85


class Datasets:
    """Lists the pictures of datasets at outputs of nodes, and keeps the latest datasets to draw thumbnails.

    A dataset is computed by running the graph up to its node, so cached results are reused. The run is
    refused if it would load a model or have a side effect.

    Args:
        session: the home folder.
        seconds: the maximum time of the run.
    """

    def __init__(self, session: Session, seconds: float = SECONDS) -> None:
        self._session, self._seconds = session, seconds
        self._lock = threading.Lock()
        self._known: OrderedDict[str, ListsPictures] = OrderedDict()

    def read(self, request: dict[str, Any], node: str, output: str) -> dict[str, Any]:
        """List the pictures of a dataset as JSON; see `Catalogue.dataset`."""
        session = self._session
        session.registry.refresh()
        wanted = upstream(RunRequest.from_json(request), node, output)
        files = session.files.for_run(wanted.graph.folder, wanted.out)
        plan = session.plan(wanted.graph, wanted.values, wanted.targets)
        for step in plan.steps.values():
            if step.action in ("run", "may_run") and not step.bound.type.pure:
                message = f"{step.bound.type.name} has side effects, so it runs only when the graph runs"
                raise GraphError([Problem("has_side_effects", message, step.id)])
        cancel = Cancel()
        timer = threading.Timer(self._seconds, cancel.ask)
        timer.start()
        try:
            report = session.run(wanted, cancel=cancel, watch=_WithoutModels(cancel), warn=lambda text: None)
        finally:
            timer.cancel()
        if report.state == "cancelled" or cancel.asked:
            message = "the dataset has not been computed yet"
            hint = "run the graph up to this node"
            raise GraphError([Problem("not_computed", message, node, hint=hint)])
        if report.problems:
            raise GraphError(report.problems)
        packed = report.outputs[OUTPUT]
        value = unpack(packed.type, packed.meta, {part.name: part.data for part in packed.parts})
        if not isinstance(value, ListsPictures):
            what = "a list" if packed.type == "list" else "not a dataset"
            message = f"the output {output!r} is {what}"
            hint = "combine a list of datasets with GatherPictures"
            raise GraphError([Problem("not_a_dataset", message, node, hint=hint)])
        pictures, left_out = value.list_pictures(files)
        with self._lock:
            self._known[packed.digest] = value
            self._known.move_to_end(packed.digest)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        answer = {
            "id": packed.digest,
            "pictures": [asdict(picture) for picture in pictures],
            "left_out": [asdict(file) for file in left_out],
            "warnings": list(report.warnings.get(node, ())),
        }
        # The name of a file may contain bytes that are not UTF-8; each becomes a question mark.
        text = json.dumps(answer, ensure_ascii=False).encode(errors="replace")
        printable: dict[str, Any] = json.loads(text)
        return printable

    def thumbnail(self, id: str, place: int, side: int) -> str:
        """Draw a thumbnail, as a WEBP file in base64; see `Catalogue.dataset_picture`."""
        with self._lock:
            value = self._known.get(id)
            if value is not None:
                self._known.move_to_end(id)
        try:
            if value is None:
                raise IndexError
            picture = value.draw_picture(self._session.files, place, side)
        except IndexError:
            hint = "list the dataset again"
            message = "the dataset has no such picture, or is no longer in memory"
            raise GraphError([Problem("unknown_dataset", message, hint=hint)]) from None
        file = io.BytesIO()
        picture.save(file, "WEBP", quality=_QUALITY, method=1)
        return b64encode(file.getvalue()).decode()


def upstream(request: RunRequest, node: str, output: str) -> RunRequest:
    """Reduce a request to one output of a node: to that node, and all nodes and inputs that it depends on.

    Errors in other parts of the graph then do not matter. The new request has no name, so that the history
    does not take it for a run of the graph.
    """
    graph = request.graph
    if node not in graph.nodes:
        raise GraphError([Problem("unknown_node", f"the graph has no node {node!r}")])
    needed: set[str] = set()
    params: set[str] = set()
    ahead = [node]
    while ahead:
        id = ahead.pop()
        if id in needed or id not in graph.nodes:
            continue
        needed.add(id)
        for binding in graph.nodes[id].inputs.values():
            if isinstance(binding, From):
                ahead.append(binding.node)
            elif isinstance(binding, Param):
                params.add(binding.name)
    part = Graph(
        nodes={id: entry for id, entry in graph.nodes.items() if id in needed},
        inputs={name: item for name, item in graph.inputs.items() if name in params},
        outputs={OUTPUT: From(node, output)},
        graphs=graph.graphs,
        folder=graph.folder,
    )
    values = {name: value for name, value in request.values.items() if name in params}
    return replace(
        request, graph=part, values=values, targets=(node,), name="", title="", out=None, write=False
    )


class _WithoutModels(Watch):
    """Watches a run, and cancels it as soon as it would load a model."""

    def __init__(self, cancel: Cancel) -> None:
        super().__init__()
        self._cancel = cancel

    def residency(self, residency: Residency) -> Residency:
        """Return a cache of models that cancels the run instead of loading a model."""
        return _NoModels(self._cancel)


class _NoModels(Residency):
    def __init__(self, cancel: Cancel) -> None:
        super().__init__(0)
        self._cancel = cancel

    def use(
        self, recipe: Recipe[Any], compute: ComputeSettings, files: Files, pins: Pins | None = None
    ) -> NoReturn:
        """Cancel the run."""
        self._cancel.ask()
        self._cancel.check()
        raise AssertionError("Cancel.check did not raise after Cancel.ask")
