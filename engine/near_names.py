"""Makes hints for mistyped names, such as `did you mean euler?`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from difflib import SequenceMatcher, get_close_matches

_CERTAIN, _LEAD = 0.7, 0.1
"""How similar a known name must be to count as surely meant, and by how much more similar than the next best.

1 means that the names are equal.
"""

LISTED = 12
"""The maximum number of names in a hint."""
MAX_COMPARED = 2000
"""With more known names than this, `NameHints` does not look for similar ones."""
STOP_COMPARING_AFTER = 100
"""After this many problems, `NameHints` no longer looks for similar names."""


def near(name: str, known: Iterable[str]) -> str | None:
    """Make a hint with up to three known names that are similar to `name`; None if there are none."""
    folded = {other.lower(): other for other in known}
    matches = [folded[match] for match in get_close_matches(name.lower(), folded, n=3, cutoff=0.6)]
    return f"did you mean {' or '.join(matches)}?" if matches else None


def meant(name: str, known: Iterable[str]) -> str | None:
    """Find the known name that a mistyped name surely stands for; None if there is no such name.

    It must be similar to the mistyped name, and clearly more similar than any other known name.
    """
    folded = {other.lower(): other for other in known}
    wanted = name.lower()
    best, *others = [*get_close_matches(wanted, folded, n=2, cutoff=_CERTAIN - _LEAD), None]
    if best is None or _likeness(wanted, best) < _CERTAIN:
        return None
    next_best = next((other for other in others if other is not None), None)
    if next_best is not None and _likeness(wanted, best) - _likeness(wanted, next_best) < _LEAD:
        return None
    return folded[best]


def _likeness(name: str, other: str) -> float:
    return SequenceMatcher(None, other, name).ratio()


class NameHints:
    """Suggests similar names, unless that takes long: thousands of known names, or very many problems."""

    def __init__(self, problems: Sized) -> None:
        self._problems = problems

    def near(self, name: str, known: Mapping[str, object]) -> str | None:
        """Make a hint with similar names; None if there are none, or if the search would take too long."""
        return near(name, known) if self.cheap(known) else None

    def meant(self, name: str, known: Mapping[str, object]) -> str | None:
        """Find the name that is surely meant; None if there is none, or if the search would take too long."""
        return meant(name, known) if self.cheap(known) else None

    def cheap(self, known: Sized) -> bool:
        """True if comparing a name with all known names takes little time."""
        return len(known) <= MAX_COMPARED and len(self._problems) < STOP_COMPARING_AFTER


def listed(lead: str, names: Mapping[str, object]) -> str:
    """Make a hint that lists up to 12 names after the text `lead`."""
    some = [*names][:LISTED] + ["…"] * (len(names) > LISTED)
    return f"{lead} {', '.join(some) or 'none'}"
