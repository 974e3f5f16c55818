"""The secret that every request must carry."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from engine.errors import GraphError, Problem

SHORTEST = 20
_ALLOWED = re.compile(r"[A-Za-z0-9._~+/=-]+")


def new_token() -> str:
    """Create a random token, for one start of the server."""
    return secrets.token_urlsafe(32)


def read_token(path: Path) -> str:
    """Read the token from a file, for a server that keeps its token over restarts.

    Raises:
        GraphError: the file cannot be read, or its token is shorter than `SHORTEST` characters or contains
            others than letters, digits and `._~+/=-`.
    """
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(f"the token file {path} cannot be read: {error}") from None
    if len(token) < SHORTEST or not _ALLOWED.fullmatch(token):
        raise _bad(f"the token in {path} is shorter than {SHORTEST} characters or has unusual ones")
    return token


def _bad(message: str) -> GraphError:
    hint = "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))' > token.txt"
    return GraphError([Problem("bad_token_file", message, hint=hint)])
