"""Files by digest: uploads, and the pictures that runs have made."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from engine.server.files_out import IMMUTABLE, attachment, inline
from engine.server.refusal import refused
from engine.server.services import Served
from engine.server.thumbnails import MEDIA, WIDTHS
from engine.server.uploads import DIGEST, Upload

router = APIRouter(prefix="/blobs", tags=["files"])

Digest = Annotated[str, Path(pattern=f"^{DIGEST}$", description="The sha256 of the file.")]
Width = Annotated[
    int | None,
    Query(
        alias="w",
        ge=1,
        le=max(WIDTHS),
        description="The width and height that a thumbnail fits in; rounded up to 64, 128, 256, 512 or 1024.",
    ),
]
ANY_BYTES = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
"""The OpenAPI of a body of bytes."""
FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
}


@router.post("", openapi_extra=ANY_BYTES, status_code=201)
async def upload(served: Served, request: Request) -> Upload:
    """Upload a file, without its name. The file inputs of graphs accept it as `sha256:HASH`."""
    data = await request.body()
    if not data:
        raise refused(422, "empty_file", "the file is empty")
    return await run_in_threadpool(served.uploads.add, data)


@router.get("/{digest}", response_class=Response, responses=FILE)
def download(served: Served, digest: Digest, width: Width = None) -> Response:
    """Return the bytes of a file.

    Browsers show thumbnails and pictures that Safelight has encoded; they save any other file.
    """
    made = served.made_file(digest)
    data = made[0] if made is not None else served.uploads.find(digest)
    if data is None:
        raise refused(404, "unknown_file", "there is no file of this digest", "upload it again")
    if width is not None:
        thumbnail = served.thumbnails.made(digest, data, width)
        if thumbnail is None:
            raise refused(422, "not_a_picture", "the file is not a picture of a supported format")
        return inline(thumbnail, MEDIA, IMMUTABLE)
    return attachment(data, IMMUTABLE) if made is None else inline(made[0], made[1], IMMUTABLE)
