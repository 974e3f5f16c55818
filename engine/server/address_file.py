"""The address and the token of the running server, in a file that only the user can read.

Commands on the same machine, such as `safelight run --server`, find the token there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NAME = "server.json"


@contextmanager
def written(home: Path, url: str, token: str) -> Iterator[None]:
    """Keep the server's URL and token in a file in the home folder while the block runs."""
    path = home / NAME
    with suppress(FileNotFoundError):
        path.unlink()  # an older file may have other permissions
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump({"url": url, "token": token, "pid": os.getpid()}, file)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            path.unlink()


def server_of(home: Path) -> tuple[str, str] | None:
    """Return the URL and the token of the server that serves a home folder; None if no server does.

    A server that was killed leaves its file behind, so the URL may not respond.
    """
    try:
        known = json.loads((home / NAME).read_text(encoding="utf-8"))
        return str(known["url"]), str(known["token"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def token_of(home: Path, url: str) -> str | None:
    """Return the token of the server at a URL; None if that server does not serve this home folder."""
    known = server_of(home)
    return known[1] if known is not None and known[0].rstrip("/") == url.rstrip("/") else None
