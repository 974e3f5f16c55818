"""Checks, plans and runs graphs with a home folder; all faces use it."""

from engine.session.report import Report
from engine.session.session import Session

__all__ = ["Report", "Session"]
