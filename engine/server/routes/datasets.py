"""Datasets: the pictures that an output of a node holds, with captions and thumbnails."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from engine.catalogue.catalogue import DatasetListing
from engine.server.files_out import IMMUTABLE, inline
from engine.server.input_folders import input_folders
from engine.server.routes.blobs import FILE
from engine.server.schema import Body, GraphDocument, Json
from engine.server.services import Served
from engine.server.submission import Submission
from engine.server.thumbnails import MEDIA, WIDTHS
from engine.server.uploads import DIGEST

router = APIRouter(prefix="/datasets", tags=["datasets"])


class ReadDataset(Body):
    """A graph with values for its inputs, and the output of a node whose dataset is wanted."""

    graph: GraphDocument
    inputs: dict[str, Json] = Field(default_factory=dict, max_length=1000)
    document: str | None = Field(None, max_length=400)
    """The document that the graph belongs to; see `POST /graphs/validate`."""
    node: str = Field(min_length=1, max_length=200)
    """The node whose dataset is listed."""
    output: str = Field("out", min_length=1, max_length=200)


class PictureFolder(BaseModel):
    """A folder that nodes can read pictures from."""

    name: str
    """Its name in graphs."""
    place: str
    """The path of the inputs folder that it lies in."""


class PictureFolderList(BaseModel):
    """Folders that nodes can read pictures from, by name."""

    folders: list[PictureFolder]


@router.get("/folders")
def list_picture_folders(served: Served) -> PictureFolderList:
    """List the folders inside the inputs folders, at most 1000."""
    found = input_folders(served.settings.folders_of("inputs")).items()
    return PictureFolderList(folders=[PictureFolder(name=name, place=str(place)) for name, place in found])


@router.post("")
def read_dataset(served: Served, body: ReadDataset) -> DatasetListing:
    """List the pictures and captions of the dataset at an output of a node.

    Cached results are reused. Missing ones are computed if that takes a few seconds and needs no model;
    otherwise the response has status 409 and the code `not_computed`: run the graph with the node as target,
    and repeat the request. Other parts of the graph may have errors.
    """
    submission = Submission(graph=body.graph, inputs=body.inputs, document=body.document)
    return served.catalogue.dataset(served.submitter.request(submission), body.node, body.output)


@router.get("/{id}/pictures/{place}", response_class=Response, responses=FILE)
def read_dataset_picture(
    served: Served,
    id: Annotated[str, Path(pattern=f"^{DIGEST}$", description="The id of the dataset.")],
    place: Annotated[int, Path(ge=0, le=2**31, description="The place of the picture, from 0.")],
    width: Annotated[
        int,
        Query(
            alias="w",
            ge=1,
            le=max(WIDTHS),
            description="The width and height that it fits in; rounded up to 64, 128, 256, 512 or 1024.",
        ),
    ] = 256,
) -> Response:
    """Return a thumbnail of a dataset's picture with its edits, such as a crop.

    The server keeps a dataset only for a while after listing it.
    """
    side = next(known for known in WIDTHS if known >= width)
    return inline(served.catalogue.dataset_picture(id, place, side), MEDIA, IMMUTABLE)
