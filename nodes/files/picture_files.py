"""Reads picture files of any mode as RGB, rotated according to their EXIF data."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import NodeError
from nodes.files.picture_modes import UnknownRange, to_rgb, transparency
from nodes.pixels.sizes import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.Image import Image as Picture

KIND = "inputs"
"""The kind of folder that nodes load pictures from."""
FORMATS = ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"]

_ORIENTATION = 0x0112
"""The EXIF tag of the rotation; 5 to 8 swap the width and the height."""
_HEADS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"BM",
    b"GIF8",
    *(b"II*\0", b"II\0*", b"II+\0", b"MM\0*", b"MM*\0", b"MM\0+"),  # TIFF, of either byte order
)
"""The first bytes of files of these formats. WEBP is recognised by later bytes."""


def fault_of_head(path: Path) -> str | None:
    """Return the reason why a file is not a picture, by its first bytes; None for a known picture format.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(12)
    if head.startswith(_HEADS) or (head[:4] == b"RIFF" and head[8:] == b"WEBP"):
        return None
    return "its first bytes are not those of a picture format" if head else "it is empty"


def refuse_others(path: Path, *, input: str) -> None:
    """Reject a file that is not a picture by its first bytes, before a run starts.

    Raises:
        NodeError: the file is empty or not a picture.
    """
    if (fault := fault_of_head(path)) is not None:
        raise _unreadable(path, fault, input)


def read_rgb(path: Path, *, input: str, side: int | None = None) -> Picture:
    """Read a picture in RGB, rotated according to its EXIF data, on a white background.

    Args:
        path: the file.
        input: the input that names the file, for error messages.
        side: if given, a JPEG file may be read at a smaller size of at least this width and height, which
            takes less time.

    Raises:
        NodeError: the file is damaged, too large, of an unsupported mode, or not a picture.
    """
    with _opened(path, input, side) as picture:
        return to_rgb(picture)


def read_size(path: Path, *, input: str) -> tuple[int, int]:
    """Read the width and height of a picture, rotated as above, without decoding its pixels.

    Raises:
        NodeError: the file is too large or not a picture.
    """
    with _header(path, input) as picture:
        turned = picture.getexif().get(_ORIENTATION, 1) >= 5
        return (picture.height, picture.width) if turned else picture.size


def read_alpha(path: Path, *, input: str) -> Picture | None:
    """Read the transparency of a picture in mode L (255 is opaque), rotated as above; None if it has none.

    Raises:
        NodeError: the file is damaged, too large or not a picture.
    """
    with _opened(path, input) as picture:
        return transparency(picture)


def read_layer(path: Path, *, input: str, over_white: bool) -> tuple[Picture, Picture | None]:
    """Read the colours of a picture as `read_rgb` does, and its transparency as `read_alpha` does.

    Args:
        path: the file.
        input: the input that names the file, for error messages.
        over_white: True to blend transparent parts with white; False to keep their colours.

    Raises:
        NodeError: the file is damaged, too large, of an unsupported mode, or not a picture.
    """
    with _opened(path, input) as picture:
        return to_rgb(picture, over_white=over_white), transparency(picture)


@contextmanager
def _opened(path: Path, input: str, side: int | None = None) -> Iterator[Picture]:
    """Open a picture, and rotate it according to its EXIF data."""
    from PIL import ImageOps

    with _header(path, input) as picture:
        if side is not None and picture.mode in ("RGB", "L"):
            picture.draft(picture.mode, (side, side))
        yield ImageOps.exif_transpose(picture)


@contextmanager
def _header(path: Path, input: str) -> Iterator[Picture]:
    """Open a picture without decoding its pixels; errors in the block from reading it become `NodeError`s."""
    from PIL import Image as pillow
    from PIL import UnidentifiedImageError

    # Pillow warns above 89 million pixels when it opens a file; the limit below replaces that warning.
    warnings.filterwarnings("ignore", category=pillow.DecompressionBombWarning)
    try:
        with pillow.open(path, formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                message = (
                    f"{path.name} is {picture.width} x {picture.height}; the limit is {MAX_PIXELS:,} pixels"
                )
                raise NodeError(message, input=input, code="too_large")
            yield picture
    except UnknownRange as error:
        hint = "save it with 8 or 16 bits per channel"
        message = f"{path.name} cannot be read as a picture: {error}"
        raise NodeError(message, hint=hint, input=input, code="bad_image_mode") from None
    except pillow.DecompressionBombError as error:
        raise NodeError(f"{path.name} is too large: {error}", input=input, code="too_large") from None
    except UnidentifiedImageError:  # its message has the whole path
        raise _unreadable(path, "it is damaged", input) from None
    except (OSError, ValueError, SyntaxError) as error:
        raise _unreadable(path, error, input) from None


def _unreadable(path: Path, why: object, input: str) -> NodeError:
    hint = f"use a complete file in one of the formats {', '.join(FORMATS)}"
    return NodeError(
        f"{path.name} cannot be read as a picture: {why}", hint=hint, input=input, code="bad_picture"
    )
