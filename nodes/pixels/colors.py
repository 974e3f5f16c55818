"""Parses colours such as `#ff8000` and `orange`."""

from __future__ import annotations


def rgb(text: str) -> tuple[int, int, int]:
    """Convert a colour such as `#ff8000` or `orange` to red, green and blue from 0 to 255.

    Raises:
        ValueError: the text is not a colour, or the colour is partly transparent.
    """
    from PIL import ImageColor

    try:
        channels = ImageColor.getrgb(text.strip())
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a colour") from None
    if len(channels) != 3:
        raise ValueError(f"{text[:40]!r} is partly transparent, but a picture has no transparency")
    return channels
