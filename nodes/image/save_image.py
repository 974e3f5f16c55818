"""SaveImage and SaveImages: save pictures to files in the outputs folder."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine import whole_file
from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import Range
from nodes.values import Image

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


class SaveImage(Node, category="image", pure=False, libraries=("pillow",)):
    """Save a picture to a file.

    The declared outputs of a graph are saved without this node; use it for another name or another format.
    The file contains the graph, as a declared output does. Files are only written inside the outputs folder.
    """

    image: Image
    path: str = "picture.png"
    """The file to write, inside the outputs folder (`--out`, or else `outputs` in the home). The suffix
    chooses the format: `.png`, `.jpg` or `.webp`."""
    quality: Annotated[int, Range(1, 100)] = 92
    """The quality of `.jpg` and `.webp`, 1 to 100; 80 to 95 is usual. Higher values keep more detail and give
    larger files. PNG is always lossless."""
    lossless: bool = False
    """For `.webp`: keep every pixel exactly. The files are smaller than those of PNG."""
    overwrite: bool = False
    """Replace an existing file. Off: the new file gets the next free number."""

    def run(self, ctx: Context) -> list[str]:
        target = ctx.files.target(self.path)
        if target.suffix.lower() not in _SUFFIXES:
            what = f"{target.suffix!r} files" if target.suffix else "a file without a suffix"
            hint = f"end it with {', '.join(_SUFFIXES)}"
            raise NodeError(f"SaveImage cannot write {what}", hint=hint, input="path", code="unknown_format")
        format = _SUFFIXES[target.suffix.lower()]
        if self.lossless and format == "JPEG":
            hint = "end `path` with .webp or .png, or switch `lossless` off"
            raise NodeError("JPEG files are never lossless", hint=hint, input="lossless")
        written = []
        for number, pixels in enumerate(self.image.pixels):
            data = _file(ctx, pixels, number, format, _options(format, self.quality, self.lossless))
            place = target if number == 0 else target.with_stem(f"{target.stem}_{number + 1:04}")
            numbered = (place.with_stem(f"{place.stem}_{more:04}") for more in itertools.count(2))
            places = itertools.chain([place], numbered)
            written.append(_write(places, data, "path", overwrite=self.overwrite))
        return list(map(str, written))


class SaveImages(Node, category="image", pure=False, libraries=("pillow",)):
    """Save a list of pictures into a folder, with names made by a pattern.

    An existing file is only replaced if `overwrite` is on; otherwise the picture gets the next free number. A
    file that already contains the same picture is reused, so that running a graph again adds no copies. The
    files contain the graph, as declared outputs do.
    """

    images: list[Image]
    """The pictures; each picture of a batch becomes a separate file."""
    folder: str = "pictures"
    """The folder to write to, inside the outputs folder. It is created if it is missing."""
    pattern: str = "{name}_{n:04}"
    """The name of each file without its suffix. `{n}` is the number of the picture, and `{n:04}` the same
    with four digits; `{name}` is its name, `{width}` and `{height}` its size in pixels, `{batch}` its number
    in its batch."""
    names: list[str] = []  # noqa: RUF012  # pydantic copies defaults
    """The name of each picture for `{name}`, such as the output `names` of LoadImageFolder; folders and
    suffixes are left out. Empty: `picture`."""
    first: Annotated[int, Range(0, 1_000_000)] = 1
    """The number of the first picture."""
    format: Literal["png", "jpg", "webp"] = "png"
    """`png` is lossless; `jpg` and `webp` are smaller."""
    quality: Annotated[int, Range(1, 100)] = 92
    """The quality of `jpg` and `webp`, 1 to 100; 80 to 95 is usual."""
    lossless: bool = False
    """For `webp`: keep every pixel exactly. The files are smaller than those of PNG."""
    overwrite: bool = False
    """Replace existing files. Off: a picture whose name is taken gets the next free number."""

    def run(self, ctx: Context) -> list[str]:
        """Write the files; returns their paths, in the order of the pictures.

        Raises:
            NodeError: the pattern has an unknown token, the number of names differs from that of the
                pictures, or a file cannot be written.
        """
        if self.names and len(self.names) != len(self.images):
            hint = "give one name for each picture, or leave this input empty"
            message = f"there are {len(self.names)} names for {len(self.images)} pictures"
            raise NodeError(message, hint=hint, input="names")
        if not self.pattern.strip() or re.search(r"[/\\]", self.pattern):
            hint = "name sub-folders in `folder`"
            raise NodeError(
                f"{self.pattern!r} is not a valid pattern for a file name", hint=hint, input="pattern"
            )
        if self.lossless and self.format == "jpg":
            hint = "choose webp or png, or switch `lossless` off"
            raise NodeError("JPEG files are never lossless", hint=hint, input="lossless")
        format = _SUFFIXES[f".{self.format}"]
        options = _options(format, self.quality, self.lossless)
        numbers: dict[Path, int] = {}
        written: list[Path] = []
        pictures = [
            (index, batch, pixels)
            for index, image in enumerate(self.images)
            for batch, pixels in enumerate(image.pixels)
        ]
        for count, (index, batch, pixels) in enumerate(ctx.track(pictures, unit="pictures")):
            tokens = {
                "name": _plain_name(self.names[index]) if self.names else "picture",
                "width": pixels.shape[1],
                "height": pixels.shape[0],
                "batch": batch + 1,
            }
            data = _file(ctx, pixels, count, format, options)
            number = numbers[written[-1]] + 1 if written else self.first
            places = self._places(ctx, tokens, number, numbers)
            written.append(_write(places, data, "folder", overwrite=self.overwrite, share=True))
        return list(map(str, written))

    def _places(
        self, ctx: Context, tokens: dict[str, str | int], first: int, numbers: dict[Path, int]
    ) -> Iterator[Path]:
        """Yield the paths to try for one picture, without those tried for earlier ones.

        Each path's number is recorded in `numbers`.
        """
        is_numbered = "n" in {match[1] for match in _TOKEN.finditer(self.pattern)}
        for number in itertools.count(first if is_numbered else 1):
            name = _filled(self.pattern, {**tokens, "n": number})
            if number > 1 and not is_numbered:
                name += f"_{number:04}"
            path = ctx.files.target("/".join(filter(None, (self.folder, f"{name}.{self.format}"))))
            if path not in numbers:
                numbers[path] = number
                yield path


_TOKEN = re.compile(r"\{([A-Za-z]*)(?::0?([1-9]))?\}")


def _filled(pattern: str, tokens: dict[str, str | int]) -> str:
    """Replace the tokens of a pattern, such as `{name}`, by their values."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in tokens:
            hint = f"use {', '.join(f'{{{name}}}' for name in sorted(tokens))}"
            raise NodeError(f"the pattern has an unknown token {match[0]}", hint=hint, input="pattern")
        return str(tokens[match[1]]).zfill(int(match[2] or 0))

    filled = _TOKEN.sub(value, pattern)
    if set("{}") & set(_TOKEN.sub("", pattern)):
        hint = "write a token as {name} or {n:04}"
        raise NodeError(
            f"the pattern {pattern!r} has a bracket that is not closed", hint=hint, input="pattern"
        )
    return filled


def _plain_name(name: str) -> str:
    """Return a file name without folders and suffix; characters that file systems do not allow become `_`."""
    stem = PurePosixPath(name.replace("\\", "/")).stem
    return re.sub(r'[\x00-\x1f<>:"|?*{}]+', "_", stem)[:120].strip() or "picture"


def _options(format: str, quality: int, lossless: bool) -> dict[str, Any]:
    """Return the options of Pillow's `save` for a format."""
    if format == "PNG":
        return {}
    return {"lossless": True} if lossless else {"quality": quality}


def _file(
    ctx: Context, pixels: NDArray[numpy.uint8], number: int, format: str, options: dict[str, Any]
) -> bytes:
    """Encode a picture as a file that contains the graph."""
    from PIL import Image as pillow

    file = io.BytesIO()
    pillow.fromarray(pixels).save(file, format, **options)
    return ctx.files.inscribe(file.getvalue(), ctx.node, number)


def _write(places: Iterator[Path], data: bytes, input: str, *, overwrite: bool, share: bool = False) -> Path:
    """Write a file atomically under the first free path; returns the path.

    Args:
        places: the paths to try, in one folder.
        data: the content of the file.
        input: the input that names the file, for error messages.
        overwrite: True to use the first path even if it is taken.
        share: True to reuse an existing file at one of these paths if it has the same bytes.
    """
    place = next(places)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if overwrite:
            whole_file.replace(place, data)
            return place
        return whole_file.put(data, itertools.chain([place], places), share=share)
    except OSError as error:
        raise NodeError(
            f"{place} cannot be written: {error.strerror}", input=input, code="unwritable"
        ) from None
