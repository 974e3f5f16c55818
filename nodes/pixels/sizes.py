"""Checks the sizes of pictures before memory is allocated, and the numbers of pictures in batches."""

from __future__ import annotations

from collections.abc import Sequence

MAX_SIDE = 32_768
"""The largest width and height of a picture, in pixels."""
MAX_PIXELS = 100_000_000
"""The most pixels of one picture."""
MAX_BATCH_PIXELS = 400_000_000
"""The most pixels of all pictures of one batch."""


class TooLarge(ValueError):
    """Raised if a picture or batch would exceed the size limits; the message has the size and the limit."""

    code = "too_large"


def require_room(count: int, width: int, height: int) -> None:
    """Check the size of a batch before it is created.

    Raises:
        TooLarge: the batch or its pictures would exceed the limits.
    """
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise TooLarge(
            f"the picture would be {width} x {height}; pictures may have at most {MAX_PIXELS:,} pixels,"
            f" and {MAX_SIDE:,} along a side"
        )
    if count * width * height > MAX_BATCH_PIXELS:
        raise TooLarge(
            f"the batch would be {count} pictures of {width} x {height}; the limit is"
            f" {MAX_BATCH_PIXELS:,} pixels"
        )


def common_count(counts: Sequence[int]) -> int:
    """Return the number of pictures when batches are combined; a batch of one picture fits any other.

    Raises:
        ValueError: two batches of more than one picture have different numbers of pictures.
    """
    several = sorted(set(counts) - {1})
    if len(several) > 1:
        raise ValueError(f"batches of {' and '.join(map(str, several))} pictures cannot be combined")
    return several[0] if several else 1
