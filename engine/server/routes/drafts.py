"""Drafts: the unsaved graph of each browser tab."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from engine.document import reader
from engine.server.drafts import TAB, Draft
from engine.server.schema import Body, GraphDocument
from engine.server.services import Served

router = APIRouter(prefix="/drafts", tags=["graphs"])

Tab = Annotated[str, Path(pattern=f"^{TAB}$", description="The id of the tab.")]


class DraftAnswer(BaseModel):
    """The unsaved graph of a tab."""

    tab: str
    document: str | None
    """The id of the saved graph that it changes; null if the graph was never saved."""
    base: str | None
    """The revision of the saved graph that the draft is based on."""
    graph: GraphDocument
    saved: float
    """Seconds since the epoch."""


class DraftList(BaseModel):
    """All drafts, the newest first."""

    drafts: list[DraftAnswer]


class SaveDraft(Body):
    """The unsaved graph of a tab."""

    graph: GraphDocument
    document: str | None = Field(None, max_length=400)
    base: str | None = Field(None, max_length=100)


@router.get("")
def list_drafts(served: Served) -> DraftList:
    """List the drafts of all tabs."""
    return DraftList(drafts=[_answer(draft) for draft in served.drafts.rows()])


@router.get("/{tab}")
def read_draft(served: Served, tab: Tab) -> DraftAnswer:
    """Read the draft of a tab."""
    return _answer(served.drafts.read(tab))


@router.put("/{tab}", status_code=204)
def save_draft(served: Served, tab: Tab, body: SaveDraft) -> None:
    """Save the draft of a tab; it replaces the previous one."""
    reader.from_json(body.graph)  # raises for anything that is not a graph
    served.drafts.save(Draft(tab, body.document, body.base, body.graph, time.time()))


@router.delete("/{tab}", status_code=204)
def delete_draft(served: Served, tab: Tab) -> None:
    """Delete the draft of a tab, for example when its graph is saved or closed."""
    served.drafts.delete(tab)


def _answer(draft: Draft) -> DraftAnswer:
    return DraftAnswer(
        tab=draft.tab, document=draft.document, base=draft.base, graph=draft.graph, saved=draft.saved
    )
