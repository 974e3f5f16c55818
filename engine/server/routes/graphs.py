"""Saved graphs: list, read, save, delete, and restore versions."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Response
from pydantic import BaseModel, Field

from engine import strict_json
from engine.document import reader
from engine.server.files_beside import CopiedFiles, copy_files_beside, file_inputs
from engine.server.saved_graphs import GraphRow, GraphVersion, SavedGraph
from engine.server.schema import Body, GraphDocument, GraphId, IfMatch, revision_in
from engine.server.services import Served

router = APIRouter(prefix="/graphs", tags=["graphs"])

Number = Annotated[int, Path(ge=1, le=2**31)]


class GraphList(BaseModel):
    """Every graph that can be opened or run by its id."""

    graphs: list[GraphRow]


class GraphAnswer(BaseModel):
    """A saved graph."""

    id: str
    revision: str
    """The revision, also in the header `ETag`."""
    example: bool
    graph: GraphDocument
    copied_files: list[str] = []
    """After saving: the files and folders that the graph names and that were copied beside it."""
    left_files: list[str] = []
    """After saving: one sentence for each file or folder that was not copied, with the reason."""


class VersionList(BaseModel):
    """The versions of a graph, the newest first."""

    versions: list[GraphVersion]


class SaveGraph(Body):
    """A graph to save."""

    graph: GraphDocument
    by: str = Field("", max_length=64)
    """The tab or program that saves it; it is part of the event `graph.changed`."""
    files_of: str = Field("", max_length=500)
    """The id of the graph that this one is a copy of; the files beside that one which the graph names are
    copied, too."""


class RestoreGraph(Body):
    """A version to save again as the newest one."""

    version: int = Field(ge=1, le=2**31)
    by: str = Field("", max_length=64)


@router.get("")
def list_graphs(served: Served) -> GraphList:
    """List the graphs of the home folder, and the example graphs of the installed packs."""
    return GraphList(graphs=served.graphs.rows())


@router.get("/{id}")
def read_graph(served: Served, id: GraphId, response: Response) -> GraphAnswer:
    """Read a graph with its revision."""
    return _answer(served.graphs.read(id), response)


@router.put("/{id}")
def save_graph(
    served: Served,
    id: GraphId,
    body: SaveGraph,
    response: Response,
    if_match: IfMatch = None,
    if_none_match: Annotated[
        str | None,
        Header(alias="If-None-Match", pattern=r"^\*$", description="`*` saves only a new graph."),
    ] = None,
) -> GraphAnswer:
    """Save a graph as a new version.

    If the graph exists, `If-Match` must have its current revision. If another tab has saved it meanwhile, the
    status is 412, with the current revision in `ETag`.

    If the graph is a copy (`files_of`) or an example, the files in the original's folder that it names are
    copied, too; `copied_files` and `left_files` list them.
    """
    graph = reader.from_json(body.graph)
    source = served.graphs.folder_of(body.files_of or id)
    saved = served.graphs.save(id, graph, revision_in(if_match), only_new=if_none_match is not None)
    served.announce_graph(saved, body.by)
    answer = _answer(saved, response)
    target = served.graphs.folder_of(id)
    if source is None or target is None or source == target:
        return answer
    try:
        files = copy_files_beside(graph, file_inputs(served.catalogue.types().types), source, target)
    except OSError as error:
        files = CopiedFiles(left=(f"the files beside the graph were not copied: {error}",))
    return answer.model_copy(update={"copied_files": list(files.copied), "left_files": list(files.left)})


@router.delete("/{id}", status_code=204)
def delete_graph(served: Served, id: GraphId, if_match: IfMatch = None) -> None:
    """Delete a graph. Its versions are kept, and can be restored under the same id."""
    served.graphs.delete(id, revision_in(if_match))


@router.get("/{id}/versions")
def list_versions(served: Served, id: GraphId) -> VersionList:
    """List the saved versions of a graph."""
    return VersionList(versions=served.graphs.versions(id))


@router.get("/{id}/versions/{version}")
def read_version(served: Served, id: GraphId, version: Number, response: Response) -> GraphAnswer:
    """Read one version of a graph."""
    return _answer(served.graphs.version(id, version), response)


@router.post("/{id}/restore")
def restore_graph(
    served: Served, id: GraphId, body: RestoreGraph, response: Response, if_match: IfMatch = None
) -> GraphAnswer:
    """Save an old version as the newest one; `If-Match` as for saving."""
    saved = served.graphs.restore(id, body.version, revision_in(if_match))
    served.announce_graph(saved, body.by)
    return _answer(saved, response)


def _answer(saved: SavedGraph, response: Response) -> GraphAnswer:
    response.headers["ETag"] = f'"{saved.revision}"'
    document: dict[str, Any] = strict_json.parse(saved.text)
    return GraphAnswer(id=saved.id, revision=saved.revision, example=saved.example, graph=document)
