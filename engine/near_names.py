"""Hints for mistyped names: similar names, or the first of all names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from difflib import SequenceMatcher, get_close_matches

_CERTAIN, _LEAD = 0.7, 0.1
"""How similar a name must be to be surely meant, and how much more than the next one; 1 means equal."""

LISTED = 12
"""The most names that a hint lists."""
MAX_COMPARED = 2000
"""With more known names than this, a mistyped name is not compared."""
STOP_COMPARING_AFTER = 100
"""After this many problems, names are no longer compared."""


def near(name: str, known: Iterable[str]) -> str | None:
    """A hint with up to three known names similar to `name`; None if there are none."""
    folded = {other.lower(): other for other in known}
    matches = [folded[match] for match in get_close_matches(name.lower(), folded, n=3, cutoff=0.6)]
    return f"did you mean {' or '.join(matches)}?" if matches else None


def meant(name: str, known: Iterable[str]) -> str | None:
    """The known name that is surely meant by a mistyped one: similar, and clearly more so than any other."""
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
    """Suggests similar names, unless thousands are known or the graph has many problems already."""

    def __init__(self, problems: Sized) -> None:
        self._problems = problems

    def near(self, name: str, known: Mapping[str, object]) -> str | None:
        """A hint with similar names; None if there are none or the search costs too much."""
        return near(name, known) if self.cheap(known) else None

    def meant(self, name: str, known: Mapping[str, object]) -> str | None:
        """The name that is surely meant; None if there is none or the search costs too much."""
        return meant(name, known) if self.cheap(known) else None

    def cheap(self, known: Sized) -> bool:
        """True while comparing a name with the known ones is cheap."""
        return len(known) <= MAX_COMPARED and len(self._problems) < STOP_COMPARING_AFTER


def listed(lead: str, names: Mapping[str, object]) -> str:
    """A hint that lists the first names."""
    some = [*names][:LISTED] + ["…"] * (len(names) > LISTED)
    return f"{lead} {', '.join(some) or 'none'}"
