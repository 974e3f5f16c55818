"""Reads the embeddings that A1111 hides in pictures: in a text chunk of a PNG, or in the pixels."""

from __future__ import annotations

import base64
import binascii
import io
import json
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.picture_text import png
from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.opened import Identity, opened, read_at
from nodes.sd.formats.tensors import Entry, Named, Run, Tensors

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

KEYWORD = "sd-ti-embedding"
_FILE_LIMIT = 64 << 20
_PIXELS = 16_000_000
_TEXT_LIMIT = 8 << 20
"""The greatest size of the hidden JSON; 75 vectors of the widest kind take half of it."""
_DEPTH = 8


class PictureTensors(Tensors):
    """The tensors hidden in a picture, which are small and stay in memory."""

    def __init__(
        self, path: Path, identity: Identity, data: dict[str, bytes], entries: dict[str, Entry], tree: Any
    ):
        super().__init__(path, identity, "picture", entries, {}, tree)
        self._data = data

    def _read(self, file: io.FileIO, entry: Entry) -> bytearray:
        name = next(name for name, other in self.entries.items() if other is entry)
        return bytearray(self._data[name])


def read_picture(path: Path) -> Tensors | None:
    """Read the tensors hidden in a PNG or WEBP picture; None if there are none.

    Raises:
        BadFileError: the hidden data is damaged or too large, or the picture cannot be read.
    """
    file, identity = opened(path)
    with file:
        if identity.size > _FILE_LIMIT:
            return None
        data = bytes(read_at(file, 0, identity.size))
    try:
        text = _from_chunk(data)
        if text is None:
            text = _from_pixels(data)
    except _TooLargeError:
        size = _TEXT_LIMIT >> 20
        raise BadFileError("too_large", f"{path} has more than {size} MB of data in its pixels.") from None
    except Exception as error:  # Pillow may raise any exception for a damaged picture
        raise BadFileError("bad_picture", f"{path} cannot be read: {error}.") from None
    if text is None:
        return None
    numbers: dict[str, bytes] = {}
    entries: dict[str, Entry] = {}
    try:
        tree = _tree(json.loads(text), numbers, entries, "", 0)
    except (ValueError, TypeError, RecursionError, OverflowError):
        raise BadFileError("bad_picture", f"{path} contains a damaged embedding.") from None
    return PictureTensors(path, identity, numbers, entries, tree)


class _TooLargeError(Exception):
    """Raised if the hidden data is larger than any embedding."""


def _from_chunk(data: bytes) -> bytes | None:
    if not data.startswith(png.SIGNATURE):
        return None
    text = png.read_text(data).get(KEYWORD)
    if text is None:
        return None
    try:
        return base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError):
        raise ValueError("the embedding in its text chunk is damaged") from None


def _from_pixels(data: bytes) -> bytes | None:
    """Extract the data from the low four bits of the pixels to the left and right of the picture itself.

    Two columns with only zeros in these bits mark the end of the left block and the start of the right one.
    Each block has one half of every byte, combined with the numbers of a linear congruential generator.
    Returns None if the picture has no such blocks.
    """
    import io

    import numpy
    from PIL import Image as pillow

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pillow.DecompressionBombWarning)
        with pillow.open(io.BytesIO(data), formats=["PNG", "WEBP"]) as picture:
            if picture.width * picture.height > _PIXELS:
                return None
            pixels: NDArray[numpy.uint8] = numpy.asarray(picture.convert("RGB"), dtype=numpy.uint8)
    lit = numpy.asarray((pixels > 0).all(axis=2))
    if not lit.any():
        return None
    rows, columns = numpy.flatnonzero(lit.any(axis=1)), numpy.flatnonzero(lit.any(axis=0))
    inner = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    low = inner & numpy.uint8(15)
    black = numpy.flatnonzero((low == 0).all(axis=(0, 2)))
    if len(black) < 2:
        return None
    left, right = low[:, : black[0]].ravel(), low[:, black[-1] + 1 :].ravel()
    if left.size != right.size or left.size < 8:
        return None
    begun = _joined(left[:8], right[:8])
    if begun[0] != 0x78 or int.from_bytes(begun[:2]) % 31:  # the first bytes of a zlib stream
        return None
    unzip = zlib.decompressobj()
    try:
        text = unzip.decompress(_joined(left, right), _TEXT_LIMIT)
    except zlib.error:
        return None  # a lossy copy, or a picture that only looks like an embedding
    if not unzip.eof:
        if unzip.unconsumed_tail:
            raise _TooLargeError
        raise ValueError("the embedding in its pixels is cut off")
    return text


def _joined(low: NDArray[numpy.uint8], high: NDArray[numpy.uint8]) -> bytes:
    """Remove the generator's numbers from both halves, and join them to bytes."""
    key = key_stream(low.size)
    return bytes((high ^ key) << 4 | (low ^ key))


def key_stream(count: int) -> NDArray[numpy.uint8]:
    """Compute the low four bits of `s mod 255` for s = 1664525 s + 1013904223 mod 2^32, from s = 0."""
    import numpy

    step, shift, mask = 1664525, 1013904223, 0xFFFFFFFF
    states = numpy.array([shift], dtype=numpy.uint64)
    while states.size < count:  # compute as many states at once as exist already
        more = (states * numpy.uint64(step) + numpy.uint64(shift)) & numpy.uint64(mask)
        states = numpy.concatenate([states, more])
        step, shift = step * step & mask, (step * shift + shift) & mask
    return (states[:count] % 255 & 15).astype(numpy.uint8)


def _tree(item: Any, data: dict[str, bytes], entries: dict[str, Entry], name: str, depth: int) -> Any:
    import numpy

    if depth > _DEPTH:
        raise ValueError
    if isinstance(item, list):
        return [_tree(inner, data, entries, f"{name}.{n}", depth + 1) for n, inner in enumerate(item)]
    if not isinstance(item, dict):
        return item
    if "TORCHTENSOR" in item:
        array = numpy.array(item["TORCHTENSOR"], dtype="<f4")
        data[name] = array.tobytes()
        entries[name] = Entry("F32", array.shape, Run(0, array.nbytes), 0)
        return Named(name)
    return {
        key: _tree(inner, data, entries, f"{name}.{key}" if name else key, depth + 1)
        for key, inner in item.items()
    }
