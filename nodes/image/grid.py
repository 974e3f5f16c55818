"""Grid: arranges pictures on one sheet with row and column labels, as in an XY plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import Range
from nodes.values import Image

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray

MAX_PIXELS = 200_000_000
"""The greatest size of a sheet, in pixels."""
INK, PAPER = (32, 32, 32), (255, 255, 255)


class Grid(Node, category="image", libraries=("pillow",), aliases=("XYPlot", "ImageGrid")):
    """Arrange pictures in rows and columns on one sheet, with labels (an XY plot)."""

    images: Any
    """A list of pictures, or a list of rows of pictures, as from two sweeps."""
    rows: list[str] = []  # noqa: RUF012  # pydantic copies defaults
    """A label for each row, written to its left. Empty: no labels."""
    columns: list[str] = []  # noqa: RUF012
    """A label for each column, written above it. Empty: no labels."""
    width: Annotated[int, Range(0, 1000)] = 0
    """Pictures per row, for a single list of pictures. 0: as many as there are column labels, or a nearly
    square sheet."""
    gap: Annotated[int, Range(0, 1000)] = 4
    """The space between the pictures, 0 to 1000 pixels."""

    def run(self, ctx: Context) -> Image:
        """Draw the sheet: uint8 [1, height, width, 3], white. Every cell has the size of the largest picture.

        Raises:
            NodeError: the list is empty, the number of labels differs from that of the rows or columns, or
                the sheet would have more than `MAX_PIXELS`.
        """
        import numpy

        rows = _rows(self.images, self.width or len(self.columns), len(self.rows))
        across = max(map(len, rows))
        for name, labels, count in (("rows", self.rows, len(rows)), ("columns", self.columns, across)):
            if labels and len(labels) != count:
                hint = f"give {count} labels, or leave this input empty"
                raise NodeError(
                    f"`{name}` has {len(labels)} labels for {count} {name}", hint=hint, input=name
                )
        high = max(cell.shape[0] for row in rows for cell in row)
        wide = max(cell.shape[1] for row in rows for cell in row)
        size = max(10, min(high, wide) // 8)
        above = [_text_picture(text, size) for text in self.columns]
        before = [_text_picture(text, size) for text in self.rows]
        top = max((text.shape[0] for text in above), default=0)
        left = max((text.shape[1] for text in before), default=0)
        wide = max(wide, *(text.shape[1] for text in above), 1)
        height = top + len(rows) * (high + self.gap) + self.gap
        breadth = left + across * (wide + self.gap) + self.gap
        if height * breadth > MAX_PIXELS:
            hint = "use fewer or smaller pictures"
            raise NodeError(f"the sheet would be {breadth} x {height} pixels", hint=hint, input="images")
        sheet = numpy.full((height, breadth, 3), PAPER, numpy.uint8)
        for n, text in enumerate(above):
            _paste(sheet, text, 0, left + self.gap + n * (wide + self.gap), top, wide)
        for n, text in enumerate(before):
            _paste(sheet, text, top + self.gap + n * (high + self.gap), 0, high, left)
        for y, row in enumerate(rows):
            for x, cell in enumerate(row):
                at = top + self.gap + y * (high + self.gap), left + self.gap + x * (wide + self.gap)
                _paste(sheet, cell, *at, high, wide)
        return Image(sheet[None])


def _rows(images: Any, width: int, count: int) -> list[list[NDArray[uint8]]]:
    if isinstance(images, list) and any(isinstance(row, list) for row in images):
        return [row for row in (_cells(row) for row in images) if row] or [_no_pictures()]
    cells = _cells(images) or _no_pictures()
    if not width:
        width = -(-len(cells) // count) if count else max(1, round(len(cells) ** 0.5 + 0.49))
    return [cells[n : n + width] for n in range(0, len(cells), width)]


def _cells(images: Any) -> list[NDArray[uint8]]:
    if isinstance(images, list):
        return [cell for item in images for cell in _cells(item)]
    if not isinstance(images, Image):
        hint = "connect pictures, such as the output of Decode"
        raise NodeError(f"`images` needs pictures, not {type(images).__name__}", hint=hint, input="images")
    return list(images.pixels)


def _no_pictures() -> list[NDArray[uint8]]:
    raise NodeError(
        "the input `images` is an empty list", hint="connect a list with at least one picture", input="images"
    )


def _text_picture(text: str, size: int) -> NDArray[uint8]:
    """Draw a line of text with a margin, uint8 [height, width, 3]."""
    import numpy
    from PIL import Image as pillow
    from PIL import ImageDraw, ImageFont

    text = " ".join(text.split())[:200]
    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(text or " ")
    margin = size // 3
    picture = pillow.new("RGB", (int(right - left) + 2 * margin, int(size * 1.2) + 2 * margin), PAPER)
    middle = picture.height / 2 - (top + bottom) / 2
    ImageDraw.Draw(picture).text((margin - left, middle), text, INK, font)
    return numpy.array(picture)


def _paste(sheet: NDArray[uint8], cell: NDArray[uint8], y: int, x: int, high: int, wide: int) -> None:
    """Copy a picture into the middle of a cell of the sheet."""
    y += (high - cell.shape[0]) // 2
    x += (wide - cell.shape[1]) // 2
    sheet[y : y + cell.shape[0], x : x + cell.shape[1]] = cell
