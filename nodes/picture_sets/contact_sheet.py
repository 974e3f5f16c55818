"""Draws contact sheets: the pictures of a dataset in rows, with names, captions and problems."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.ImageDraw import ImageDraw as Pen
    from PIL.ImageFont import FreeTypeFont

Tone = Literal["plain", "noted", "excluded"]

THUMBNAIL = 168
"""The side of the square for a picture, in pixels."""
_GAP, _MARGIN, _BAR = 16, 24, 5
_LINE = 17
_MOST_LINES = 4
"""The most lines of text below a picture."""
_COLUMNS = 6
PAPER, INK, FAINT, MOUNT = (255, 255, 255), (34, 34, 38), (120, 120, 128), (240, 240, 242)
_TONES: dict[Tone, tuple[int, int, int]] = {
    "plain": (70, 150, 95),
    "noted": (222, 158, 40),
    "excluded": (200, 58, 58),
}
"""The colour of the bar below a picture."""


@dataclass(frozen=True)
class Cell:
    """One picture of a sheet."""

    picture: Picture | None
    """The picture, in any size; None for one that cannot be read."""
    title: str
    lines: Sequence[str] = ()
    """Texts below the title; each is broken into lines."""
    tone: Tone = "plain"


def draw_sheet(title: str, note: str, cells: Iterable[Cell]) -> Picture:
    """Draw a sheet.

    Args:
        title: the headline.
        note: a line below it; empty for none.
        cells: the pictures, in reading order.
    """
    from PIL import Image, ImageDraw, ImageFont

    heading, bold, small = (ImageFont.load_default(size) for size in (24, 13, 12))
    shown = list(cells)
    columns = max(3, min(_COLUMNS, len(shown)))
    texts = [_broken(cell.lines, small) for cell in shown]  # type: ignore[arg-type]
    rows = [range(start, min(start + columns, len(shown))) for start in range(0, len(shown), columns)]
    heights = [THUMBNAIL + _BAR + 8 + _LINE * (1 + max(len(texts[n]) for n in row)) + _GAP for row in rows]
    top = _MARGIN + 34 + (22 if note else 0) + 10
    width = 2 * _MARGIN + columns * (THUMBNAIL + _GAP) - _GAP
    sheet = Image.new("RGB", (width, top + sum(heights) + _MARGIN - _GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, _MARGIN), _shortened(title, heading, width - 2 * _MARGIN), INK, heading)  # type: ignore[arg-type]
    if note:
        pen.text((_MARGIN, _MARGIN + 34), _shortened(note, bold, width - 2 * _MARGIN), FAINT, bold)  # type: ignore[arg-type]
    for row, height in zip(rows, heights, strict=True):
        for column, number in enumerate(row):
            left = _MARGIN + column * (THUMBNAIL + _GAP)
            _draw_cell(sheet, pen, (left, top), shown[number], texts[number], (bold, small))  # type: ignore[arg-type]
        top += height
    return sheet


def _draw_cell(
    sheet: Picture,
    pen: Pen,
    place: tuple[int, int],
    cell: Cell,
    texts: Sequence[str],
    fonts: tuple[FreeTypeFont, FreeTypeFont],
) -> None:
    bold, small = fonts
    left, top = place
    colour = _TONES[cell.tone]
    pen.rectangle([left, top, left + THUMBNAIL - 1, top + THUMBNAIL - 1], MOUNT)
    if cell.picture is None:
        inset = THUMBNAIL // 3
        corners = left + inset, top + inset, left + THUMBNAIL - inset, top + THUMBNAIL - inset
        pen.line(corners, FAINT, 3)
        pen.line((corners[2], corners[1], corners[0], corners[3]), FAINT, 3)
    else:
        thumbnail = fitted(cell.picture)
        x, y = (THUMBNAIL - thumbnail.width) // 2, (THUMBNAIL - thumbnail.height) // 2
        sheet.paste(thumbnail, (left + x, top + y))
    bar = top + THUMBNAIL
    pen.rectangle([left, bar, left + THUMBNAIL - 1, bar + _BAR - 1], colour)
    line = bar + _BAR + 6
    pen.text((left, line), _shortened(cell.title, bold, THUMBNAIL), INK, bold)
    for text in texts:
        line += _LINE
        pen.text((left, line), text, colour if cell.tone != "plain" else FAINT, small)


def fitted(picture: Picture) -> Picture:
    """Shrink or enlarge a picture until it fits into the square of a cell."""
    from PIL import Image

    scale = THUMBNAIL / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _broken(texts: Sequence[str], font: FreeTypeFont) -> list[str]:
    """Break texts into lines of the width of a cell; the last line ends with … if lines were cut off."""
    lines: list[str] = []
    for text in texts:
        line = ""
        for word in _printable(text).split():
            longer = f"{line} {word}" if line else word
            if line and font.getlength(longer) > THUMBNAIL:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], f"{lines[_MOST_LINES - 1]} …"]
    return [_shortened(line, font, THUMBNAIL) for line in lines]


def _shortened(text: str, font: FreeTypeFont, width: int) -> str:
    """Replace the middle of a text by … if it is wider than `width` pixels."""
    text = _printable(text)
    if font.getlength(text) <= width:
        return text

    def shorter(kept: int) -> str:
        return f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"

    fitting = bisect(range(len(text)), width, key=lambda kept: math.ceil(font.getlength(shorter(kept))))
    return shorter(max(0, fitting - 1))


def _printable(text: str) -> str:
    """Return the text in one line, without characters that a font cannot measure."""
    return " ".join(text[:1000].encode("utf-8", "replace").decode().split())
