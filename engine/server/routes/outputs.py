"""Outputs: the history of the pictures and files that runs wrote, and previews of running steps."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from engine import strict_json
from engine.document import writer
from engine.server.files_out import IMMUTABLE, inline
from engine.server.outputs import OutputRow, output_row
from engine.server.refusal import refused
from engine.server.routes.blobs import FILE, Width
from engine.server.schema import Body, GraphDocument, Json, Nothing
from engine.server.services import Served
from engine.server.thumbnails import MEDIA
from engine.server.uploads import KeptFile

router = APIRouter(tags=["outputs"])

OutputId = Annotated[int, Path(ge=1, le=2**53, description="The id of the output.")]


class OutputList(BaseModel):
    """Outputs, the newest first."""

    outputs: list[OutputRow]


class OutputGraph(BaseModel):
    """The graph that made an output; the values of that run are the defaults of its inputs."""

    graph: GraphDocument
    values: dict[str, Json]
    """The values of the swept inputs for this output."""


class MarkOutput(Body):
    """The star and the tags to set; null leaves one unchanged."""

    star: bool | None = None
    tags: list[str] | None = Field(None, max_length=50)


@router.get("/outputs")
def list_outputs(
    served: Served,
    run: Annotated[str | None, Query(max_length=64)] = None,
    q: Annotated[str, Query(max_length=500, description="Words that all must occur.")] = "",
    star: bool | None = None,
    before: Annotated[int | None, Query(ge=0, le=2**53, description="The id of an output.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> OutputList:
    """Search the outputs by the texts in their graphs, by title and by tag; the newest come first."""
    found = served.queue.outputs.find(run, q, star=star, before=before, limit=limit)
    return OutputList(outputs=[output_row(record) for record in found])


@router.get("/outputs/{id}")
def read_output(served: Served, id: OutputId) -> OutputRow:
    """Read one output of the history."""
    return output_row(served.queue.outputs.one(id))


@router.patch("/outputs/{id}")
def mark_output(served: Served, id: OutputId, body: MarkOutput) -> OutputRow:
    """Set the star or the tags of an output."""
    return output_row(served.queue.outputs.mark(id, star=body.star, tags=body.tags))


@router.get("/outputs/{id}/graph")
def read_output_graph(served: Served, id: OutputId) -> OutputGraph:
    """Read the graph that made an output; running it gives the same output, from cached results."""
    record = served.queue.outputs.one(id)
    request = served.queue.request(record.run)
    values: dict[str, Any] = {
        name: value for name, value in request.values.items() if name not in record.values
    }
    graph = request.graph.with_defaults({**values, **record.values})
    return OutputGraph(graph=strict_json.parse(writer.dump(graph)), values=dict(record.values))


@router.get("/outputs/{id}/file", response_class=Response, responses=FILE)
def read_output_file(served: Served, id: OutputId, width: Width = None) -> Response:
    """Return the file of an output, or a thumbnail of an output picture."""
    record = served.queue.outputs.one(id)
    file = served.output_file(record)
    if width is None:
        return inline(file, record.media, IMMUTABLE, file.name)
    thumbnail = served.thumbnails.made(record.digest, file, width)
    if thumbnail is None:
        raise refused(422, "not_a_picture", "the file is not a picture of a supported format")
    return inline(thumbnail, MEDIA, IMMUTABLE)


@router.post("/outputs/{id}/keep")
def keep_output(served: Served, id: OutputId, body: Nothing) -> KeptFile:
    """Keep the file of an output like an upload, so that graphs can use it; it may have any size."""
    return served.uploads.keep(served.output_file(served.queue.outputs.one(id)))


@router.get("/previews/{id}", response_class=Response, responses=FILE)
def read_preview(
    served: Served, id: Annotated[str, Path(pattern="^[0-9a-f]{1,64}$", description="The id in the event.")]
) -> Response:
    """Return a preview picture of a running step. It is kept only until newer previews replace it."""
    picture = served.queue.events.preview(id)
    if picture is None:
        raise refused(404, "unknown_preview", "there is no preview of this id any more")
    return inline(picture.data, picture.media, IMMUTABLE)
