"""The health check."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

router = APIRouter(tags=["server"])


class Health(BaseModel):
    """The response of the health check."""

    state: Literal["ok"] = "ok"


@router.get("/healthz")
def health() -> Health:
    """Confirm that the server runs. This is the only path that needs no token."""
    return Health()
