"""Drafts: the unsaved graph of each browser tab, stored so that a closed browser loses no changes."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from engine import strict_json, whole_file
from engine.errors import GraphError
from engine.server.refusal import refused

TAB = r"[A-Za-z0-9_-]{1,64}"
"""The id of a tab, which the page draws at random."""
KEPT = 100
"""The most drafts; beyond it, the oldest is deleted."""


@dataclass(frozen=True, slots=True)
class Draft:
    """The unsaved graph of a browser tab."""

    tab: str
    document: str | None
    """The id of the saved graph that it changes; None if the graph was never saved."""
    base: str | None
    """The revision of the saved graph that the draft is based on."""
    graph: dict[str, Any]
    saved: float
    """Seconds since the epoch."""


class Drafts:
    """The drafts in a folder, one file for each tab.

    Args:
        folder: the folder; it is created with the first draft.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()

    def rows(self) -> list[Draft]:
        """Read all drafts, the newest first."""
        found = []
        for path in self._files():
            try:
                found.append(_read(path))
            except (OSError, GraphError, KeyError, TypeError):
                continue  # deleted meanwhile, or damaged: there is nothing to offer
        return sorted(found, key=lambda draft: -draft.saved)

    def read(self, tab: str) -> Draft:
        """Read the draft of a tab.

        Raises:
            Refused: the tab has no draft (404).
        """
        try:
            return _read(self._path(tab))
        except (OSError, GraphError, KeyError, TypeError):
            raise _unknown(tab) from None

    def save(self, draft: Draft) -> None:
        """Save the draft of a tab.

        Raises:
            Refused: the id of the tab is not valid (422).
            OSError: the file cannot be written.
        """
        with self._lock:
            self._folder.mkdir(parents=True, exist_ok=True)
            whole_file.replace(self._path(draft.tab), json.dumps(asdict(draft)).encode())
            files = sorted(self._files(), key=lambda path: path.stat().st_mtime_ns)
            for path in files[: max(0, len(files) - KEPT)]:
                path.unlink(missing_ok=True)

    def delete(self, tab: str) -> None:
        """Delete the draft of a tab.

        Raises:
            Refused: the tab has no draft (404).
        """
        with self._lock:
            try:
                self._path(tab).unlink()
            except FileNotFoundError:
                raise _unknown(tab) from None

    def _files(self) -> list[Path]:
        return [path for path in self._folder.glob("*.json") if re.fullmatch(TAB, path.stem)]

    def _path(self, tab: str) -> Path:
        if not re.fullmatch(TAB, tab):
            hint = "use letters, digits, - and _, at most 64"
            raise refused(422, "bad_id", f"{tab!r} is not the id of a tab", hint)
        return self._folder / f"{tab}.json"


def _read(path: Path) -> Draft:
    return Draft(**strict_json.parse(path.read_bytes()))


def _unknown(tab: str) -> Exception:
    return refused(404, "unknown_draft", f"the tab {tab!r} has no draft")
