"""ComfyUI's API: pictures, model files, node types, and its description of the machine."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from engine.files import UPLOADED
from engine.server.compat.comfyui import ComfyRoute
from engine.server.compat.comfyui_runs import API, output_id
from engine.server.compat.comfyui_services import ComfyServices, comfy
from engine.server.compat.multipart import parts_of
from engine.server.files_out import IMMUTABLE, attachment, inline
from engine.server.refusal import refused

router = APIRouter(route_class=ComfyRoute, include_in_schema=False)
Comfy = Annotated[ComfyServices, Depends(comfy)]
Name = Annotated[str, Query(max_length=1000)]
_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}


@router.get("/view")
def view(services: Comfy, filename: Name, type: Name = "output", subfolder: Name = "") -> Response:
    """Return an output picture, or with `type=input` an uploaded one.

    The names are looked up, never used as paths.
    """
    served = services.served
    if type == "input":
        name = f"{subfolder}/{filename}" if subfolder else filename
        file = served.uploads.find(services.uploads.find(name).removeprefix(UPLOADED))
        if file is None:
            raise refused(404, "unknown_file", f"no picture was uploaded as {name[:100]!r}")
        return attachment(file)
    record = served.queue.outputs.one(output_id(filename))
    return inline(served.output_file(record), record.media, IMMUTABLE)


@router.post("/upload/image")
async def upload_image(services: Comfy, request: Request) -> dict[str, str]:
    """Upload a picture for LoadImage, which accepts the returned name and the client's own name for it."""
    parts = parts_of(request.headers.get("content-type", ""), await request.body())
    if "image" not in parts or not parts["image"].data:
        raise refused(400, "empty_file", "the form has no file named image")
    picture = parts["image"]
    upload = await run_in_threadpool(services.served.uploads.add, picture.data)
    if upload.mime not in _SUFFIXES:
        raise refused(422, "not_a_picture", "the file is no PNG, JPEG or WEBP picture that can be read")
    folder = parts["subfolder"].data.decode("utf-8", "replace")[:1000] if "subfolder" in parts else ""
    if picture.filename:
        services.uploads.add(folder, picture.filename, upload.hash)
    return {"name": upload.hash + _SUFFIXES[upload.mime], "subfolder": "", "type": "input"}


@router.post("/upload/mask")
def upload_mask() -> None:
    """Refuse a mask for a picture that was uploaded before."""
    hint = "upload the picture with the mask as its alpha channel"
    raise refused(501, "not_supported", "masks cannot be uploaded separately", hint)


@router.get("/object_info")
def list_types(services: Comfy) -> dict[str, Any]:
    """Describe the node types of ComfyUI that can be converted; their choices are the user's files."""
    types: dict[str, Any] = services.served.catalogue.lists_for(API)["object_info"]
    return types


@router.get("/object_info/{name}")
def read_type(services: Comfy, name: str) -> dict[str, Any]:
    """Describe one node type of ComfyUI; empty if it cannot be converted."""
    types = list_types(services)
    return {name: types[name]} if name in types else {}


@router.get("/models")
def list_folders(services: Comfy) -> list[str]:
    """List ComfyUI's names of the folders of model files."""
    return [*services.served.catalogue.lists_for(API)["models"]]


@router.get("/models/{folder}")
def list_models(services: Comfy, folder: str) -> list[str]:
    """List the names of the model files in a folder."""
    models: dict[str, list[str]] = services.served.catalogue.lists_for(API)["models"]
    if folder not in models:
        raise refused(404, "unknown_folder", f"there is no folder of models named {folder[:100]!r}")
    return models[folder]


@router.get("/embeddings")
def list_embeddings(services: Comfy) -> list[str]:
    """List the names of the embeddings, without suffixes."""
    return [os.path.splitext(name)[0] for name in list_models(services, "embeddings")]


@router.get("/system_stats")
def read_system(services: Comfy) -> dict[str, Any]:
    """Describe the versions, the machine's memory, and the devices of the workers.

    The server does not know the memory of GPUs, so `vram_total` and `vram_free` are only sent for the CPU.
    """
    total, free = memory()
    devices = services.served.queue.status().devices
    on_host = {"vram_total": total, "vram_free": free, "torch_vram_total": 0, "torch_vram_free": 0}
    return {
        "system": {
            "os": platform.system().lower(),
            "ram_total": total,
            "ram_free": free,
            "comfyui_version": f"Safelight {version('safelight')}",
            "python_version": platform.python_version(),
            "pytorch_version": version("torch"),
            "embedded_python": False,
            "argv": [],
        },
        "devices": [
            {"name": device.device, "type": device.device.partition(":")[0], "index": number}
            | (on_host if device.device == "cpu" else {})
            for number, device in enumerate(devices)
        ],
    }


def memory() -> tuple[int, int]:
    """Return the total and the free memory of the machine in bytes; zeros if the system does not tell."""
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        return page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0, 0
