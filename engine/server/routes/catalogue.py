"""Node types, checks of graphs, model files, completion, and the import of other programs' files."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from engine import strict_json
from engine.catalogue.catalogue import Completion, NodeTypes, PlannedAction, PromptLength, RunEstimate
from engine.document import writer
from engine.server.files_out import IMMUTABLE, inline
from engine.server.refusal import refused
from engine.server.routes.blobs import ANY_BYTES, FILE
from engine.server.schema import Body, GraphDocument, Json, ProblemItem
from engine.server.services import Served
from engine.server.submission import Submission
from engine.server.thumbnails import MEDIA

THUMB_WIDTH = 256

router = APIRouter(tags=["catalogue"])


class Described(BaseModel):
    """A JSON object with the keys below and possibly others."""

    model_config = ConfigDict(extra="allow")


class NodeInput(Described):
    """An input of a node type: the JSON Schema of its literal values, its wire type and its control."""

    wire: str
    """The wire type, such as `Latent` or `list of Image`."""
    required: bool
    default: Json = None
    description: str = ""
    widget: dict[str, Json] | None = Field(None, alias="x-widget")
    """The control: its `kind` and options."""
    lazy: bool = Field(False, alias="x-lazy")
    """True if it is computed only when the node needs it."""
    advanced: bool = Field(False, alias="x-advanced")
    """True if a canvas hides it at first."""
    plain: bool = Field(False, alias="x-json")
    """True if it takes any JSON value, but no picture, model or other value that exists only on wires."""


class WireLook(Described):
    """How a canvas draws the sockets of a wire type."""

    family: str
    shape: Literal["circle", "square", "triangle"]
    lists: int
    """The number of lists around it."""
    fits: list[str]
    """The types of inputs that it connects to."""


class NodeTypeItem(Described):
    """A node type."""

    type: str
    """Name and version, such as `Denoise@1`."""
    category: str
    doc: str
    pure: bool
    inputs: dict[str, NodeInput]
    outputs: dict[str, str]
    """The wire type of each output, by name."""
    wires: dict[str, WireLook]
    previews: bool = False
    """True if a running step sends previews."""
    advanced_outputs: list[str] = []
    """The outputs that a canvas hides until they are used."""
    aliases: list[str] = []
    """Other names for searching."""
    passes: dict[str, str] = {}
    """For each output, the input whose value it has when the node is off."""
    deprecated: str = ""
    replaced_by: str = ""


class NodeTypeList(BaseModel):
    """The node types of all packs, sorted by name."""

    types: list[NodeTypeItem]
    problems: list[ProblemItem]
    """The problems of packs that cannot be loaded."""


class ValidateGraph(Body):
    """A graph to check, with values for its inputs."""

    graph: GraphDocument
    inputs: dict[str, Json] = Field(default_factory=dict, max_length=1000)
    sweep: dict[str, list[Json]] = Field(default_factory=dict, max_length=20)
    targets: list[str] = Field(default_factory=list, max_length=1000)
    """The nodes to compute; none means the declared outputs."""
    document: str | None = Field(None, max_length=400)
    """The id of the document that the graph belongs to; the plan compares the graph with that document's last
    run. If it is the id of a saved graph, alone or before a `#`, the graph finds the files beside it."""
    plan: bool = True
    """False to leave the plan out."""


class Validated(BaseModel):
    """Every problem of a graph, and what a run would do."""

    ok: bool
    """True if the graph can run."""
    problems: list[ProblemItem]
    plan: list[PlannedAction]
    """Empty if the graph has errors."""
    targets: list[str]
    inputs: dict[str, Json]
    """The value of each input of the graph."""
    estimate: RunEstimate | None
    """The estimated time and memory of the run; null without a plan."""
    texts: list[PromptLength]
    """The lengths of prompts in tokens, as far as they are known before the run; empty without a plan."""


class ModelRow(Described):
    """A model file."""

    file: str
    """Its name in graphs."""
    kind: str
    base: str | None
    """The model family that it is for."""
    triggers: list[str]
    """Words that invoke it in a prompt."""
    tag: str | None
    """The prompt tag that applies it, such as `<lora:ink:1>`."""
    default_weight: float | None = None
    """The preferred weight, from the notes file beside it; null if unknown."""
    thumb: str | None = None
    """The URL of its picture, as a WEBP; null if it has none."""
    bytes: int | None
    problem: dict[str, str] | None
    """The reason why it cannot be used; null if it can."""


class ModelList(BaseModel):
    """Model files."""

    models: list[ModelRow]


class Completions(BaseModel):
    """Completions of a word of a prompt, the best first."""

    completions: list[Completion]


class ImportedGraph(BaseModel):
    """The graph in a file."""

    graph: GraphDocument
    origin: str
    """Where it comes from, such as `A1111's parameters`."""
    problems: list[ProblemItem]
    """Warnings about parts that were left out and about missing files."""


@router.get(
    "/node-types", response_model=NodeTypeList, responses={304: {"description": "The types are the same."}}
)
def list_node_types(
    served: Served,
    if_none_match: Annotated[
        str | None, Header(alias="If-None-Match", max_length=1000, description="The last `ETag`.")
    ] = None,
) -> Response:
    """List the node types of all packs.

    When they change, `ETag` changes and the event `types.changed` is sent.
    """
    known = served.catalogue.types()
    headers = {"ETag": f'"{known.etag}"', "Cache-Control": "private, no-cache"}
    given = {tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")}
    if given & {headers["ETag"], "*"}:
        return Response(status_code=304, headers=headers)
    return Response(_listed(known), media_type="application/json", headers=headers)


@router.post("/graphs/validate")
def validate_graph(served: Served, body: ValidateGraph) -> Validated:
    """Check a graph, and plan its run: which nodes would run, which results are reused, and why."""
    submission = Submission(
        graph=body.graph,
        inputs=body.inputs,
        sweep=body.sweep,
        targets=tuple(body.targets),
        document=body.document,
    )
    checked = served.catalogue.validate(served.submitter.request(submission), plan=body.plan)
    return Validated(
        ok=checked.ok,
        problems=[ProblemItem(**problem.as_json()) for problem in checked.problems],
        plan=checked.plan,
        targets=list(checked.targets),
        inputs=dict(checked.values),
        estimate=checked.estimate,
        texts=checked.texts,
    )


@router.get("/models")
def list_models(
    served: Served,
    kind: Annotated[str | None, Query(max_length=64, description="Such as `lora`.")] = None,
    base: Annotated[str | None, Query(max_length=64, description="Only for this model family.")] = None,
    q: Annotated[str, Query(max_length=200, description="Words that all must occur.")] = "",
) -> ModelList:
    """List the model files, with their trigger words, prompt tags, sizes and problems."""
    rows = served.catalogue.models(kind, base, q)
    for row in rows:
        row["thumb"] = row["thumb"] and f"/api/v1/models/thumbs/{row['thumb']}"
    return ModelList(models=[ModelRow.model_validate(row) for row in rows])


@router.get("/models/thumbs/{id}", response_class=Response, responses=FILE)
def model_thumb(
    served: Served,
    id: Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="The last part of `thumb`.")],
) -> Response:
    """Return the picture of a model file, as a WEBP of at most 256 by 256 pixels."""
    data = served.catalogue.model_picture(id)
    thumbnail = None if data is None else served.thumbnails.made(f"model {id}", data, THUMB_WIDTH)
    if thumbnail is None:
        raise refused(404, "unknown_file", "there is no picture of this model, or it cannot be shown")
    return inline(thumbnail, MEDIA, IMMUTABLE)


@router.get("/complete")
def complete_word(
    served: Served,
    q: Annotated[str, Query(max_length=200, description="The beginning of the word, without `<`.")] = "",
    kind: Annotated[str | None, Query(max_length=64)] = None,
    base: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Completions:
    """Complete a word of a prompt with the names of embeddings, LoRAs and other models with a prompt tag."""
    return Completions(completions=served.catalogue.complete(q, kind=kind, base=base, limit=limit))


@router.post("/import", openapi_extra=ANY_BYTES)
async def import_graph(
    served: Served,
    request: Request,
    name: Annotated[str, Query(max_length=200, description="The name of the file, for titles.")] = "file",
) -> ImportedGraph:
    """Import the graph in a picture, a graph file, or a file of ComfyUI, A1111 or InvokeAI."""
    data = await request.body()
    if not data:
        raise refused(422, "empty_file", "the file is empty")
    imported = await run_in_threadpool(served.catalogue.read_file, name, data)
    document: dict[str, Any] = strict_json.parse(writer.dump(imported.graph))
    problems = [ProblemItem(**problem.as_json()) for problem in imported.problems]
    return ImportedGraph(graph=document, origin=imported.origin, problems=problems)


def _listed(known: NodeTypes) -> bytes:
    problems = [problem.as_json() for problem in known.problems]
    return json.dumps({"types": known.types, "problems": problems}).encode()
