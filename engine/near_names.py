"""Suggests similar names for a mistyped name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def near(name: str, known: Iterable[str]) -> str | None:
    """A hint with up to three known names similar to `name`; None if there are none."""
    folded = {other.lower(): other for other in known}
    matches = [folded[match] for match in get_close_matches(name.lower(), folded, n=3, cutoff=0.6)]
    return f"did you mean {' or '.join(matches)}?" if matches else None
