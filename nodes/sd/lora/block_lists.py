"""Parses merge amounts by block, in the notation of A1111's "Merge Block Weighted", without torch."""

from __future__ import annotations

import math

_WHOLE = {25: 26, 26: 26, 19: 20, 20: 20}
"""The allowed lengths of a list, each with its length including the entry for the rest of the network."""
_MOST = 16.0


def amounts(text: str, rest: float) -> tuple[float, ...]:
    """Parse the amount of each block: first that of the rest of the network, then IN00 …, M00, OUT00 ….

    Args:
        text: 25 or 26 numbers for SD 1 and 2, 19 or 20 for SDXL, separated by commas; empty for none.
        rest: the amount outside of the blocks, for a list of 25 or 19 numbers, which does not have it.

    Raises:
        ValueError: an entry is not a number, or the list has another length.
    """
    if not text.strip():
        return ()
    entries = text.split(",")
    if len(entries) not in _WHOLE:
        raise ValueError(f"there are {len(entries)} amounts; SD 1 and 2 need 25 or 26, SDXL needs 19 or 20")
    numbers = [_number(place, entry) for place, entry in enumerate(entries, 1)]
    return tuple(numbers if len(numbers) in _WHOLE.values() else [rest, *numbers])


def _number(place: int, entry: str) -> float:
    try:
        number = float(entry)
    except ValueError:
        number = math.nan
    if not abs(number) <= _MOST:
        raise ValueError(f"amount {place} is {entry.strip()[:40]!r}, which is not a number from -16 to 16")
    return number
