"""Computes the strength of a ControlNet in each of its blocks, without torch."""

from __future__ import annotations

import math

SOFTENING = 0.825
"""The strength of a block relative to the next deeper block, in the softened control modes of A1111."""
_MOST = 10.0


def block_strengths(text: str, count: int, *, softened: bool = False) -> tuple[float, ...]:
    """Parse the strengths of a ControlNet's blocks, from the first block to the middle one.

    Returns an empty tuple if all strengths are 1.

    Args:
        text: one number for each block, separated by commas; empty for 1 in all blocks.
        count: the number of blocks that the ControlNet has; see `network.block_count`.
        softened: True to weaken the blocks, most of all those of fine details, as A1111's control modes "My
            prompt is more important" and "ControlNet is more important" do.

    Raises:
        ValueError: an entry is not a number from -10 to 10, or there is not one number for each block.
    """
    entries = text.split(",") if text.strip() else []
    if entries and len(entries) != count:
        raise ValueError(f"{len(entries)} strengths are given, but this ControlNet has {count} blocks")
    given = [_number(place, entry) for place, entry in enumerate(entries, 1)] or [1.0] * count
    if softened:
        given = [number * SOFTENING ** (count - 1 - place) for place, number in enumerate(given)]
    return () if set(given) == {1.0} else tuple(given)


def _number(place: int, entry: str) -> float:
    try:
        number = float(entry)
    except ValueError:
        number = math.nan
    if not abs(number) <= _MOST:
        raise ValueError(f"strength {place} is {entry.strip()[:40]!r}, which is not a number from -10 to 10")
    return number
