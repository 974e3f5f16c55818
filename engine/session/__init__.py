"""Checks, plans and runs graphs in a home folder: for the command line, scripts, workers and the server."""

from engine.session.report import SessionReport
from engine.session.session import Session

__all__ = ["Session", "SessionReport"]
