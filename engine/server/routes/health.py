"""The check that the server runs."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

router = APIRouter(tags=["server"])


class Health(BaseModel):
    """The server runs."""

    state: Literal["ok"] = "ok"


@router.get("/healthz")
def health() -> Health:
    """Answer that the server runs. This is the only address that needs no token."""
    return Health()
