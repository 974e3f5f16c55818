"""A session for the tests of textual inversion."""

from __future__ import annotations

from tests.nodes.conftest import home, open_session, session

__all__ = ["home", "open_session", "session"]
