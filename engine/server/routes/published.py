"""The files that the steps of a run have published, such as the checkpoints of a training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from engine.queue.snapshot import PublishedFile
from engine.server.files_out import attachment
from engine.server.refusal import refused
from engine.server.routes.blobs import FILE
from engine.server.schema import Body, RunId
from engine.server.services import Served, Services
from engine.server.uploads import KeptFile

router = APIRouter(prefix="/runs/{id}/published", tags=["runs"])

Step = Annotated[str, Query(min_length=1, max_length=400, description="The step that published it.")]
Name = Annotated[str, Query(min_length=1, max_length=1000, description="Its name in the list.")]


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A published file."""

    step: str
    """The step that published it, such as `train`."""
    name: str
    """Its name within the step, such as `checkpoints/000500.safetensors`."""
    size: int
    """In bytes."""
    url: str
    """The URL of the file."""


class PublishedList(BaseModel):
    """Published files, by step and name."""

    files: list[PublishedRow]


class KeepPublished(Body):
    """The published file to keep."""

    step: str = Field(min_length=1, max_length=400)
    name: str = Field(min_length=1, max_length=1000)


@router.get("")
def list_published(served: Served, id: RunId) -> PublishedList:
    """List the files that a run has published so far; old ones are deleted to keep the disk budget."""
    return PublishedList(files=[_row(id, file) for file in served.queue.published(id)])


@router.get("/file", response_class=Response, responses=FILE)
def read_published(served: Served, id: RunId, step: Step, name: Name) -> Response:
    """Download a published file."""
    return attachment(_path(served, id, step, name), name=PurePosixPath(name).name)


@router.post("/keep")
def keep_published(served: Served, id: RunId, body: KeepPublished) -> KeptFile:
    """Keep a published file like an upload, so that graphs can use it, for example as a LoRA."""
    return served.uploads.keep(_path(served, id, body.step, body.name))


def _path(served: Services, id: str, step: str, name: str) -> Path:
    """Return the path of a published file. The requested name selects a record, and is never used as a path.

    Raises:
        Refused: the step has not published such a file (404), or it was deleted meanwhile (410).
    """
    for file in served.queue.published(id):
        if (file.step, file.name) == (step, name):
            if file.path.is_file():
                return file.path
            raise refused(410, "missing_file", f"the file {name!r} was removed meanwhile")
    raise refused(404, "unknown_file", f"the step {step!r} has not published {name!r}")


def _row(run: str, file: PublishedFile) -> PublishedRow:
    query = urlencode({"step": file.step, "name": file.name})
    return PublishedRow(file.step, file.name, file.size, f"/api/v1/runs/{run}/published/file?{query}")
