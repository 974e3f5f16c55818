"""Calls of graphs: one request runs a saved graph, and its response has the outputs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from engine.errors import Problem
from engine.queue.stream_events import RunState
from engine.server import graph_schema
from engine.server.outputs import OutputRow, output_row
from engine.server.refusal import Refused
from engine.server.schema import GraphId, Json, ProblemItem
from engine.server.services import Served, Services
from engine.server.submission import Submission
from engine.server.waiting import ended
from engine.workers.messages import problem_from_json

router = APIRouter(prefix="/graphs/{id}", tags=["graphs"])


class CallOutput(BaseModel):
    """One declared output of the graph."""

    type: str
    """The wire type, such as `Image`; `json` for a JSON value."""
    value: Json = None
    """The value, if it is JSON."""
    files: list[OutputRow]


class CallAnswer(BaseModel):
    """The outputs of a called graph; none until its run has ended."""

    run: str
    state: RunState
    outputs: dict[str, CallOutput]
    problems: list[ProblemItem]


@router.post(
    "/call",
    response_model_exclude_unset=True,
    responses={202: {"model": CallAnswer, "description": "The run has not ended."}},
)
async def call_graph(
    served: Served,
    id: GraphId,
    response: Response,
    inputs: Annotated[dict[str, Json], Body(description="Values for the inputs of the graph.")],
    timeout: Annotated[float, Query(ge=0, le=3600, description="The seconds to wait.")] = 60.0,
) -> CallAnswer:
    """Run a saved graph and wait for its outputs.

    `GET /api/v1/graphs/{id}/openapi.json` describes its inputs. If the run has not ended after `timeout`, the
    status is 202, the body has the id of the run, and the run continues.
    """
    with served.calls.one():
        since = served.queue.events.seq
        accepted = await run_in_threadpool(
            served.submitter.submit, Submission(graph_id=id, inputs=inputs, document=id)
        )
        run = accepted.runs[0].id
        has_ended = await ended(served.queue, served.hub, run, since, timeout)
        answer = await run_in_threadpool(_answer, served, run)
    if not has_ended:
        response.status_code = 202
    return answer


@router.get("/openapi.json")
def describe_graph(served: Served, id: GraphId) -> dict[str, Any]:
    """Return an OpenAPI document for one graph, made from its inputs and outputs."""
    return graph_schema.document(id, served.graphs.read(id).graph)


def _answer(served: Services, run: str) -> CallAnswer:
    """Create the response for a run: its state and its outputs.

    Raises:
        Refused: the run was not done (422); the error has the problems of the run.
    """
    snapshot = served.queue.run(run)
    state = snapshot.summary.state
    if state in ("failed", "refused", "cancelled", "interrupted"):
        problems = tuple(map(problem_from_json, snapshot.problems))
        raise Refused(422, *(problems or (Problem(state, f"the run was {state}"),)))
    outputs: dict[str, CallOutput] = {
        name: CallOutput(type="json", value=value, files=[]) for name, value in snapshot.values.items()
    }
    for record in snapshot.outputs:
        output = outputs.setdefault(record.output, CallOutput(type=record.type, files=[]))
        output.files.append(output_row(record))
    for output in outputs.values():
        output.files.sort(key=lambda row: row.index)
    items = [ProblemItem(**problem) for problem in snapshot.problems]
    return CallAnswer(run=run, state=state, outputs=outputs, problems=items)
