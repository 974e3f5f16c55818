"""ComfyUI's API: prompts, the queue and the history.

A prompt is converted like a saved workflow, and becomes a run whose id is the `prompt_id`. An unsupported
node type or a missing file is reported as an error of its node, in ComfyUI's own format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from engine.errors import GraphError, Problem
from engine.queue.snapshot import RunSummary
from engine.queue.stream_events import EndState
from engine.server.compat.comfyui_runs import API, Notes, history
from engine.server.compat.comfyui_services import ComfyServices, comfy
from engine.server.compat.refusals import RefusalRoute
from engine.server.compat.requests import graph_json, imported, json_of
from engine.server.refusal import Refused, refused
from engine.server.submission import Submission

PREFIXES = ("", "/api")
"""ComfyUI has every address with and without `/api`."""
LISTED = 1000
"""The most runs that `/queue` lists."""
_PREVIEWS = ("auto", "latent2rgb", "taesd")
_LOADERS = ("LoadImage", "LoadImageMask")
_ENDED: tuple[EndState, ...] = ("done", "failed", "cancelled", "interrupted", "refused")


class ComfyRoute(RefusalRoute):
    """Sends errors in ComfyUI's format."""

    graph_status = 400
    failed_status = 400

    @staticmethod
    def refusal(status: int, problems: Sequence[Problem], headers: Mapping[str, str]) -> Response:
        """Create the error response: the first problem as `error`, and those of nodes as `node_errors`."""
        errors: dict[str, Any] = {}
        for problem in problems:
            if problem.node is not None:
                entry = errors.setdefault(
                    problem.node, {"errors": [], "dependent_outputs": [], "class_type": ""}
                )
                entry["errors"].append(_error(problem))
        return JSONResponse({"error": _error(problems[0]), "node_errors": errors}, status, dict(headers))


router = APIRouter(route_class=ComfyRoute, include_in_schema=False)
Comfy = Annotated[ComfyServices, Depends(comfy)]


@router.post("/prompt")
async def submit_prompt(services: Comfy, request: Request) -> dict[str, Any]:
    """Convert a prompt to a graph, and add its run to the queue."""
    body = await json_of(request)
    return await run_in_threadpool(_submit, services, body)


@router.get("/prompt")
def read_remaining(services: Comfy) -> dict[str, Any]:
    """Return the number of runs that are running or waiting."""
    status = services.served.queue.status()
    return {"exec_info": {"queue_remaining": status.running + status.pending}}


@router.get("/queue")
def read_queue(services: Comfy) -> dict[str, Any]:
    """List the running and the waiting runs, without their prompts; `/history` has them after the end."""
    queue = services.served.queue
    return {
        "queue_running": [_queued(run) for run in queue.runs("running", limit=LISTED)],
        "queue_pending": [_queued(run) for run in queue.runs("queued", limit=LISTED)],
    }


@router.post("/queue")
async def change_queue(services: Comfy, request: Request) -> Response:
    """Cancel waiting runs: with `clear` all of this API, with `delete` those of the given ids."""
    body = await json_of(request)
    await run_in_threadpool(_change_queue, services, body)
    return Response()


@router.post("/interrupt")
async def interrupt(services: Comfy, request: Request) -> Response:
    """Cancel the run `prompt_id` if it is running; without an id, all running runs of this API."""
    body = await json_of(request)
    await run_in_threadpool(_interrupt, services, body.get("prompt_id"))
    return Response()


@router.get("/history")
def list_history(services: Comfy, max_items: Annotated[int, Query(ge=1, le=500)] = 100) -> dict[str, Any]:
    """List the latest runs of this API that have ended, the oldest first."""
    runs = services.served.queue.runs(_ENDED, limit=max_items)
    entries: dict[str, Any] = {}
    for run in reversed(runs):
        entries |= _history(services, run.id)
    return entries


@router.get("/history/{prompt_id}")
def read_history(services: Comfy, prompt_id: str) -> dict[str, Any]:
    """Return the history entry of one run; empty until the run has ended."""
    return _history(services, prompt_id)


@router.post("/history")
def change_history() -> None:
    """Refuse to delete entries of the history."""
    raise refused(501, "not_supported", "the history of runs cannot be deleted through this API")


def _submit(services: ComfyServices, body: Mapping[str, Any]) -> dict[str, Any]:
    prompt, extra = body.get("prompt"), body.get("extra_data", {})
    if not isinstance(prompt, dict) or not prompt:
        raise refused(400, "no_prompt", "the body has no prompt")
    _check_prompt(prompt)
    client = body.get("client_id") or (extra.get("client_id") if isinstance(extra, dict) else None)
    client = client if isinstance(client, str) and len(client) <= 200 else None
    found = imported(services.served, "ComfyUI", _with_uploads(services, prompt))
    previews = isinstance(extra, dict) and extra.get("preview_method") in _PREVIEWS
    notes = Notes(client, found.nodes, found.outputs, prompt, previews)
    queue = services.served.queue
    since = queue.events.seq
    if client is not None:
        services.clients.submitted(client, since)
    submission = Submission(
        graph=graph_json(found),
        document=f"comfyui:{client}" if client else API,
        front=body.get("front") is True,
        notes=notes.as_json(),
    )
    try:
        (run,) = services.served.submitter.submit(submission).runs
    except GraphError as error:
        raise GraphError([replace(item, node=notes.node(item.node)) for item in error.problems]) from None
    warnings = [problem.as_json() for problem in found.problems]
    return {"prompt_id": run.id, "number": queue.run(run.id).summary.number, "node_errors": {}} | (
        {"warnings": warnings} if warnings else {}
    )


def _check_prompt(prompt: Mapping[str, Any]) -> None:
    """Check the shape of a prompt.

    Raises:
        Refused: an entry is not a node (400).
    """
    for id, node in prompt.items():
        if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
            message = "a node of the prompt has no class_type; save the workflow in the API format"
            raise Refused(400, Problem("invalid_prompt", message, node=id[:100]))


def _with_uploads(services: ComfyServices, prompt: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the names of uploaded pictures in a prompt by their digests."""
    changed: dict[str, Any] = {}
    for id, node in prompt.items():
        changed[id] = node
        inputs = node.get("inputs")
        if (
            node["class_type"] in _LOADERS
            and isinstance(inputs, dict)
            and isinstance(inputs.get("image"), str)
        ):
            found = services.uploads.find(inputs["image"])
            changed[id] = {**node, "inputs": {**inputs, "image": found}}
    return changed


def _queued(run: RunSummary) -> list[Any]:
    return [run.number, run.id, {}, {}, []]


def _change_queue(services: ComfyServices, body: Mapping[str, Any]) -> None:
    queue = services.served.queue
    wanted = body.get("delete", [])
    if not isinstance(wanted, list) or not all(isinstance(id, str) for id in wanted):
        raise refused(400, "bad_request", "delete is not a list of ids")
    for id in wanted:
        if queue.run(id).summary.state == "queued":
            queue.cancel(id)
    if body.get("clear") is True:
        for run in queue.runs("queued", limit=queue.limits.max_queued):
            if services.notes.of(run.id) is not None:
                queue.cancel(run.id)


def _interrupt(services: ComfyServices, prompt_id: Any) -> None:
    queue = services.served.queue
    for run in queue.runs("running", limit=LISTED):
        if run.id == prompt_id or (prompt_id is None and services.notes.of(run.id) is not None):
            queue.cancel(run.id)


def _history(services: ComfyServices, id: str) -> dict[str, Any]:
    try:
        notes = services.notes.of(id)
    except GraphError:
        return {}  # as ComfyUI answers for an unknown id
    if notes is None:
        return {}
    run = services.served.queue.run(id)
    return {id: history(run, notes)} if run.summary.state in _ENDED else {}


def _error(problem: Problem) -> dict[str, Any]:
    extra = {} if problem.input is None else {"input_name": problem.input}
    return {
        "type": problem.code,
        "message": problem.message,
        "details": problem.hint or "",
        "extra_info": extra,
    }
