"""Checks, plans and runs graphs with a home folder; all faces use it."""

from engine.session.report import SessionReport
from engine.session.session import Session

__all__ = ["Session", "SessionReport"]
