"""A1111's API: text to image, image to image, progress, options and lists.

The response is sent when the run has ended, as A1111's clients expect; the run waits in the same queue as all
others. A request with a field that Safelight does not support is refused, so that no client receives another
picture than it asked for.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from engine import picture_text
from engine.errors import Problem
from engine.files import UPLOADED
from engine.queue.snapshot import RunSnapshot
from engine.server.compat.a1111_options import Options
from engine.server.compat.comfyui_runs import in_order
from engine.server.compat.refusals import RefusalRoute
from engine.server.compat.requests import graph_json, imported, json_of
from engine.server.refusal import Refused, refused
from engine.server.services import Served, Services
from engine.server.submission import Submission
from engine.server.waiting import ended

PREFIX = "/sdapi/v1"
API = "a1111"
MAX_PICTURES = 256
"""The most pictures of one request."""
LARGEST_SEED = 1 << 32
WAIT_SECONDS = 7 * 24 * 3600.0


class A1111Route(RefusalRoute):
    """Sends errors in A1111's format."""

    graph_status = 422
    failed_status = 500

    @staticmethod
    def refusal(status: int, problems: Sequence[Problem], headers: Mapping[str, str]) -> Response:
        """Create the error response, with the messages and hints of all problems."""
        first = problems[0]
        messages = [f"{item.message} ({item.hint})" if item.hint else item.message for item in problems]
        body = {"error": first.code, "detail": "; ".join(messages), "body": "", "errors": messages[0]}
        return JSONResponse(body, status, dict(headers))


router = APIRouter(route_class=A1111Route, include_in_schema=False)


@router.post("/txt2img")
async def txt2img(served: Served, request: Request) -> dict[str, Any]:
    """Generate pictures from a prompt."""
    return await _draw(served, "txt2img", await json_of(request))


@router.post("/img2img")
async def img2img(served: Served, request: Request) -> dict[str, Any]:
    """Generate pictures from a picture and a prompt."""
    return await _draw(served, "img2img", await json_of(request))


@router.get("/progress")
def read_progress(served: Served, skip_current_image: Annotated[bool, Query()] = False) -> dict[str, Any]:
    """Return the progress of the first running run of this API, with the latest preview."""
    running = _running(served)
    queued = sum(1 for run in served.queue.runs("queued", limit=500) if run.document == API)
    value, most, share, preview = 0, 0, 0.0, None
    if running:
        share, value, most, preview = _progress(served.queue.run(running[0]))
    shown = served.queue.events.preview(preview) if preview and not skip_current_image else None
    return {
        "progress": share,
        "eta_relative": 0.0,
        "state": {
            "skipped": False,
            "interrupted": False,
            "stopping_generation": False,
            "job": running[0] if running else "",
            "job_count": len(running) + queued,
            "job_timestamp": "0",
            "job_no": 0,
            "sampling_step": value,
            "sampling_steps": most,
        },
        "current_image": None if shown is None else base64.b64encode(shown.data).decode(),
        "textinfo": None,
    }


@router.post("/interrupt")
@router.post("/skip")
def interrupt(served: Served) -> dict[str, Any]:
    """Cancel the running runs of this API; their requests return the pictures finished so far."""
    for id in _running(served):
        served.queue.cancel(id)
    return {}


@router.get("/options")
def read_options(served: Served) -> dict[str, Any]:
    """Return the options and their values; a client can set the model and the clip skip."""
    return _options(served).values()


@router.post("/options")
async def set_options(served: Served, request: Request) -> dict[str, Any]:
    """Set the model, or the clip skip, for all later requests."""
    given = await json_of(request)
    await run_in_threadpool(_options(served).set, given)
    return {}


@router.post("/refresh-checkpoints")
@router.post("/refresh-loras")
@router.post("/refresh-vae")
@router.post("/refresh-embeddings")
def refresh() -> dict[str, Any]:
    """Do nothing, since each request lists the folders again."""
    return {}


@router.get("/{name}")
def read_list(served: Served, name: str) -> Any:
    """Return one list, such as `samplers`, `schedulers` or `sd-models`."""
    lists = served.catalogue.lists_for(API)
    if name not in lists:
        known = ", ".join(["txt2img", "img2img", "progress", "interrupt", "options", *lists])
        raise refused(
            501,
            "not_supported",
            f"{PREFIX}/{name[:100]} is not supported",
            f"the supported paths are {known}",
        )
    return lists[name]


@router.post("/{name}")
def refuse_post(name: str) -> None:
    """Refuse a POST to a path of A1111's API that Safelight does not support."""
    hint = "the supported paths are txt2img, img2img, interrupt and options"
    raise refused(501, "not_supported", f"{PREFIX}/{name[:100]} is not supported", hint)


async def _draw(served: Services, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    with served.calls.one():
        since = served.queue.events.seq
        run, all_seeds = await run_in_threadpool(_submit, served, kind, body)
        if not await ended(served.queue, served.hub, run, since, WAIT_SECONDS):
            raise refused(503, "server_stops", "the server stops; the run goes on after its next start")
        return await run_in_threadpool(_answer, served, run, body, all_seeds)


def _submit(served: Services, kind: str, body: dict[str, Any]) -> tuple[str, list[int]]:
    """Add the run of a request to the queue; returns the run's id and the seed of each picture."""
    asked = _options(served).applied(body)
    for name in ("seed", "subseed"):
        if asked.get(name, -1) in (-1, None):
            asked[name] = secrets.randbelow(LARGEST_SEED)
    count = _count(asked, "n_iter")
    batch = _count(asked, "batch_size") if kind == "txt2img" else 1
    if kind == "img2img":
        count *= _count(asked, "batch_size")
    if count * batch > MAX_PICTURES:
        raise refused(422, "too_many", f"a request can have {MAX_PICTURES} pictures", input="n_iter")
    varied = bool(asked.get("subseed_strength"))
    if varied and count > 1:
        hint = "send one request for each picture"
        raise refused(422, "bad_request", "n_iter and subseed_strength exclude each other", hint)
    if kind == "img2img" and isinstance(asked.get("init_images"), list):
        asked["init_images"] = [_picture(served, picture, "init_images") for picture in asked["init_images"]]
    if kind == "img2img" and asked.get("mask") is not None:
        asked["mask"] = _picture(served, asked["mask"], "mask")
    found = imported(served, kind, {kind: asked})
    seed = asked["seed"]
    seeds = [seed + number for number in range(0, count * batch, batch)]
    submission = Submission(
        graph=graph_json(found),
        inputs={"seed": seed} if count == 1 else {},
        sweep={"seed": seeds} if count > 1 else {},
        document=API,
        notes={"api": API},
    )
    (queued,) = served.submitter.submit(submission).runs
    return queued.id, [seed] * batch if varied else [seed + number for number in range(count * batch)]


def _answer(served: Services, id: str, body: Mapping[str, Any], seeds: list[int]) -> dict[str, Any]:
    """Create the response body with the pictures of a run that has ended.

    Raises:
        Refused: the run has neither finished nor been cancelled; the error has the problems of the run.
    """
    run = served.queue.run(id)
    state = run.summary.state
    if state not in ("done", "cancelled"):
        problems = [Problem(item["code"], item["message"], hint=item["hint"]) for item in run.problems]
        status = 500 if state == "failed" else 422
        raise Refused(status, *(problems or [Problem(state, f"the run was {state}")]))
    images = [record.path.read_bytes() for record in in_order(run.outputs)]
    texts = [(picture_text.read_text(data) or {}).get("parameters", "") for data in images]
    kept = {name: value for name, value in body.items() if name not in ("init_images", "mask")}
    prompts = [str(body.get("prompt", ""))] * len(images)
    negatives = [str(body.get("negative_prompt", ""))] * len(images)
    info = {
        "prompt": str(body.get("prompt", "")),
        "all_prompts": prompts,
        "negative_prompt": str(body.get("negative_prompt", "")),
        "all_negative_prompts": negatives,
        "seed": seeds[0],
        "all_seeds": seeds[: len(images)],
        "width": body.get("width", 512),
        "height": body.get("height", 512),
        "sampler_name": body.get("sampler_name") or body.get("sampler_index") or "Euler",
        "cfg_scale": body.get("cfg_scale", 7.0),
        "steps": body.get("steps", 50),
        "batch_size": body.get("batch_size", 1),
        "index_of_first_image": 0,
        "infotexts": texts,
        "run": id,
        "interrupted": state == "cancelled",
        "warnings": [item["message"] for item in run.warnings],
    }
    sent = images if body.get("send_images", True) else []
    encoded = [base64.b64encode(data).decode() for data in sent]
    return {"images": encoded, "parameters": kept, "info": json.dumps(info)}


def _count(body: Mapping[str, Any], name: str) -> int:
    value = body.get(name, 1)
    value = 1 if value is None else value
    if type(value) is not int or not 1 <= value <= MAX_PICTURES:
        message = f"{name} must be a whole number from 1 to {MAX_PICTURES}"
        raise refused(422, "bad_request", message, input=name)
    return value


def _picture(served: Services, text: Any, field: str) -> str:
    """Save a picture given in base64, or as a data URL; returns `sha256:HASH` for a file input."""
    if not isinstance(text, str):
        raise refused(422, "bad_request", "a picture must be a text in base64", input=field)
    encoded = text.partition(",")[2] if text.startswith("data:") else text
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        hint = "the server does not fetch URLs; send the picture's bytes in base64"
        raise refused(422, "bad_request", "a picture is not base64", hint, input=field) from None
    upload = served.uploads.add(data)
    if upload.w is None:
        raise refused(422, "not_a_picture", "a picture cannot be read", input=field)
    return UPLOADED + upload.hash


def _running(served: Services) -> list[str]:
    return [run.id for run in served.queue.runs("running", limit=500) if run.document == API]


def _progress(run: RunSnapshot) -> tuple[float, int, int, str | None]:
    """Return the share of the run that is done (0 to 1), the current sampling step, the number of sampling
    steps, and the id of the latest preview."""
    steps = [node for node in run.nodes.values() if node.type.partition("@")[0] == "Denoise"]
    done = sum(1.0 for node in steps if node.state in ("done", "cached"))
    current = next((node for node in steps if node.state == "running"), None)
    if current is None or not current.max:
        return done / len(steps) if steps else 0.0, 0, 0, None
    value = current.value or 0
    share = (done + value / current.max) / len(steps)
    return share, value, current.max, current.preview


def _options(served: Services) -> Options:
    return Options(served.settings.home / "server" / "a1111.json", served.catalogue)
