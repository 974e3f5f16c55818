"""Grid: pictures side by side on one sheet, with labels: what is called an XY plot."""

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
INK, PAPER = (32, 32, 32), (255, 255, 255)


class Grid(Node, category="image", libraries=("pillow",)):
    """Lay pictures out on one sheet, in rows and columns."""

    images: Any
    """A list of pictures, or a list of rows of them, as two sweeps make it."""
    rows: list[str] = []  # noqa: RUF012  # pydantic copies defaults
    """What is written before each row."""
    columns: list[str] = []  # noqa: RUF012
    """What is written above each column."""
    width: Annotated[int, Range(0, 1000)] = 0
    """How many pictures a row has when they come as one list; 0 leaves it to the labels, or makes the sheet
    about square."""
    gap: Annotated[int, Range(0, 1000)] = 4
    """Pixels between the pictures."""

    def run(self, ctx: Context) -> Image:
        """One picture, uint8 [1, H, W, 3]; cells are as large as the largest picture, centred, on white.

        Raises:
            NodeError: there is no picture, there are more or fewer labels than rows or columns, or the sheet
                would have more than `MAX_PIXELS`.
        """
        import numpy

        rows = _rows(self.images, self.width or len(self.columns), len(self.rows))
        across = max(map(len, rows))
        for name, labels, count in (("rows", self.rows, len(rows)), ("columns", self.columns, across)):
            if labels and len(labels) != count:
                hint = f"give {count} of them, or none"
                raise NodeError(f"has {len(labels)} labels for {count} {name}", hint=hint, input=name)
        high = max(cell.shape[0] for row in rows for cell in row)
        wide = max(cell.shape[1] for row in rows for cell in row)
        size = max(10, min(high, wide) // 8)
        above = [_written(text, size) for text in self.columns]
        before = [_written(text, size) for text in self.rows]
        top = max((text.shape[0] for text in above), default=0)
        left = max((text.shape[1] for text in before), default=0)
        wide = max(wide, *(text.shape[1] for text in above), 1)
        height = top + len(rows) * (high + self.gap) + self.gap
        breadth = left + across * (wide + self.gap) + self.gap
        if height * breadth > MAX_PIXELS:
            hint = "make the pictures smaller, or fewer"
            raise NodeError(f"the sheet would be {breadth} x {height} pixels", hint=hint, input="images")
        sheet = numpy.full((height, breadth, 3), PAPER, numpy.uint8)
        for n, text in enumerate(above):
            _lay(sheet, text, 0, left + self.gap + n * (wide + self.gap), top, wide)
        for n, text in enumerate(before):
            _lay(sheet, text, top + self.gap + n * (high + self.gap), 0, high, left)
        for y, row in enumerate(rows):
            for x, cell in enumerate(row):
                at = top + self.gap + y * (high + self.gap), left + self.gap + x * (wide + self.gap)
                _lay(sheet, cell, *at, high, wide)
        return Image(sheet[None])


def _rows(images: Any, width: int, count: int) -> list[list[NDArray[uint8]]]:
    if isinstance(images, list) and any(isinstance(row, list) for row in images):
        return [row for row in (_cells(row) for row in images) if row] or [_none()]
    cells = _cells(images) or _none()
    if not width:
        width = -(-len(cells) // count) if count else max(1, round(len(cells) ** 0.5 + 0.49))
    return [cells[n : n + width] for n in range(0, len(cells), width)]


def _cells(images: Any) -> list[NDArray[uint8]]:
    if isinstance(images, list):
        return [cell for item in images for cell in _cells(item)]
    if not isinstance(images, Image):
        hint = "wire pictures into it, such as those of a Decode"
        raise NodeError(f"takes pictures, not {type(images).__name__}", hint=hint, input="images")
    return list(images.pixels)


def _none() -> list[NDArray[uint8]]:
    raise NodeError("there is no picture to lay out", hint="give it a list that is not empty", input="images")


def _written(text: str, size: int) -> NDArray[uint8]:
    """A line of text as a picture with some space around it."""
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


def _lay(sheet: NDArray[uint8], cell: NDArray[uint8], y: int, x: int, high: int, wide: int) -> None:
    """Lay a picture in the middle of a field of the sheet."""
    y += (high - cell.shape[0]) // 2
    x += (wide - cell.shape[1]) // 2
    sheet[y : y + cell.shape[0], x : x + cell.shape[1]] = cell
