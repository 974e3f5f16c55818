"""LoadImage, ResizeImage and SaveImage: pictures in and out of files."""

from __future__ import annotations

import io
import itertools
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from engine import whole_file
from engine.context import Context
from engine.errors import NodeError
from engine.files import Files
from engine.node import Node
from engine.values import Json
from engine.widgets import FileIn, Range
from nodes.values import Image

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

KIND = "inputs"
MAX_PIXELS = 100_000_000
FORMATS = ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"]


class LoadImage(Node, category="image", libraries=("pillow",)):
    """Read a picture from a file."""

    image: Annotated[str, FileIn(KIND)]
    """The name of a picture in the home's `inputs` folder, or a path."""

    def fingerprint(self, files: Files) -> Json:
        """The digest of the file: a name alone says nothing.

        Raises:
            NodeError: there is no such file, or its first bytes are of no picture that can be read.
        """
        path = files.find(KIND, self.image)
        digest = files.digest(path)
        _refuse_others(path)
        return digest

    def run(self, ctx: Context) -> Image:
        """Colours are taken as RGB, turned as its EXIF says; what is transparent is laid over white."""
        import numpy

        path = ctx.files.find(KIND, self.image)
        return Image(numpy.array(_read(path))[None])


_HEADS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"BM",
    b"GIF8",
    *(b"II*\0", b"II\0*", b"II+\0", b"MM\0*", b"MM*\0", b"MM\0+"),  # TIFF, of either byte order
)
"""What the files of these formats begin with; WEBP has its name a little later."""


def _refuse_others(path: Path) -> None:
    """Tell a file that is no picture by its first bytes, before anything is run for it."""
    with path.open("rb") as file:
        head = file.read(12)
    if not head.startswith(_HEADS) and not (head[:4] == b"RIFF" and head[8:] == b"WEBP"):
        raise _unreadable(path, "it does not begin like one" if head else "it is empty")


def _unreadable(path: Path, why: object) -> NodeError:
    hint = f"it must be one of {', '.join(FORMATS)}, and whole"
    return NodeError(f"{path.name} cannot be read as a picture: {why}", hint=hint, input="image")


def _read(path: Path) -> Picture:
    from PIL import Image as pillow
    from PIL import ImageOps

    # Pillow warns from 89 million pixels on, before anybody can see the size; the limit below is ours.
    warnings.filterwarnings("ignore", category=pillow.DecompressionBombWarning)
    try:
        with pillow.open(path, formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                size = f"{picture.width} x {picture.height}"
                raise NodeError(
                    f"{path.name} is {size}; at most {MAX_PIXELS:,} pixels are read", input="image"
                )
            upright = ImageOps.exif_transpose(picture)
            if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
                opaque = upright.convert("RGBA")
                return pillow.alpha_composite(pillow.new("RGBA", opaque.size, "white"), opaque).convert("RGB")
            return upright.convert("RGB")
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as error:
        raise _unreadable(path, error) from None


class ResizeImage(Node, category="image", libraries=("pillow",), passes={"out": "image"}):
    """Bring a picture to a size."""

    image: Image
    width: Annotated[int, Range(8, 8192, step=8)] = 512
    height: Annotated[int, Range(8, 8192, step=8)] = 512
    fit: Literal["crop", "stretch"] = "crop"
    """`crop` keeps the proportions and cuts off what is over; `stretch` does not."""

    def run(self, ctx: Context) -> Image:
        import numpy
        from PIL import Image as pillow
        from PIL import ImageOps

        size = (self.width, self.height)
        resized = []
        for pixels in self.image.pixels:
            picture = pillow.fromarray(pixels)
            if self.fit == "crop":
                picture = ImageOps.fit(picture, size, pillow.Resampling.LANCZOS)
            else:
                picture = picture.resize(size, pillow.Resampling.LANCZOS)
            resized.append(numpy.asarray(picture))
        return Image(numpy.stack(resized))


class SaveImage(Node, category="image", pure=False, libraries=("pillow",)):
    """Write a picture to a file of your choice.

    A graph's declared outputs are written without this node; use it for another name or another format. A PNG
    file carries the graph, as theirs do. No graph, whoever made it, writes outside the outputs folder.
    """

    image: Image
    path: str = "picture.png"
    """Where to, inside the outputs folder, that of `--out` or else the home's own; `.png`, `.jpg` and
    `.webp` choose the format."""
    quality: Annotated[int, Range(1, 100)] = 92
    """How much detail `.jpg` and `.webp` keep."""
    overwrite: bool = False
    """Replace what is there; otherwise the name gets the next free number."""

    def run(self, ctx: Context) -> list[str]:
        from PIL import Image as pillow

        target = ctx.files.target(self.path)
        if target.suffix.lower() not in _SUFFIXES:
            hint = f"end it with {', '.join(_SUFFIXES)}"
            raise NodeError(f"{target.suffix or target.name!r} is no picture format", hint=hint, input="path")
        written = []
        for number, pixels in enumerate(self.image.pixels):
            file = io.BytesIO()
            options = {} if target.suffix.lower() == ".png" else {"quality": self.quality}
            pillow.fromarray(pixels).save(file, _SUFFIXES[target.suffix.lower()], **options)
            place = target if number == 0 else target.with_stem(f"{target.stem}_{number + 1:04}")
            data = file.getvalue()
            if target.suffix.lower() == ".png":
                data = ctx.files.inscribe(data, ctx.node, number)
            written.append(str(_written(place, data, self.overwrite)))
        return written


_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def _written(place: Path, data: bytes, overwrite: bool) -> Path:
    """Write whole or not at all; returns the name that was free."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if overwrite:
            whole_file.replace(place, data)
            return place
        numbered = (place.with_stem(f"{place.stem}_{number:04}") for number in itertools.count(2))
        return whole_file.put(data, itertools.chain([place], numbered))
    except OSError as error:
        raise NodeError(
            f"{place} cannot be written: {error.strerror}", input="path", code="unwritable"
        ) from None
