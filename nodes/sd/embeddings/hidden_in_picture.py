"""Hides an embedding in a picture as A1111 does: in a text chunk of the PNG, and in the pixels."""

from __future__ import annotations

import base64
import io
import json
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from nodes.sd.formats.picture import KEYWORD, key_stream

if TYPE_CHECKING:
    from torch import Tensor

Pixels = NDArray[np.uint8]

_LEAST_HEIGHT = 64


def hidden(picture: Pixels, content: dict[str, Any], vectors: Tensor, caption: str) -> bytes:
    """Hide an embedding in a picture: in a text chunk of the PNG, and in blocks of pixels beside the picture.

    A1111 and Safelight load it from either place. The pixels survive programs that remove text chunks, but
    not lossy formats.

    Args:
        picture: uint8 [height, width, 3].
        content: the content of A1111's `.pt` file of the embedding, with the tensor as nested lists.
        vectors: float32 [n, width]; the first one is the pattern of the blocks.
        caption: a line of text for the lower edge of the picture.

    Returns:
        the bytes of the PNG.

    Raises:
        ValueError: the picture is less than 64 pixels high.
    """
    if len(picture) < _LEAST_HEIGHT:
        raise ValueError(f"The picture is {len(picture)} pixels high; at least {_LEAST_HEIGHT} are needed.")
    text = json.dumps(content)
    shown = _captioned(picture, caption)
    stream = np.frombuffer(zlib.compress(text.encode(), 9), np.uint8)
    shades = _shades(vectors)
    left = _block(np.bitwise_and(stream, np.uint8(15)), len(shown), shades)
    right = _block(np.right_shift(stream, np.uint8(4)), len(shown), shades[::-1])
    border = np.zeros((len(shown), 1, 3), np.uint8)
    whole = np.concatenate([left, border, shown, border, right], axis=1)
    info = PngInfo()
    info.add_text(KEYWORD, base64.b64encode(text.encode()).decode())
    file = io.BytesIO()
    Image.fromarray(whole).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def _block(nibbles: Pixels, height: int, shades: Pixels) -> Pixels:
    """Make a block of pixels that has half bytes in its low bits: uint8 [height, columns, 3]."""
    count = len(nibbles) + height - len(nibbles) % height
    count += 3 * height - count % (3 * height)
    filled = np.resize(nibbles, count)
    block = (filled ^ key_stream(count)).reshape(height, -1, 3)
    return block | _decoration(block.shape[1], height, shades)[..., None]


def _decoration(width: int, height: int, shades: Pixels) -> Pixels:
    """Draw squares of 8 x 8 pixels, uint8 [height, width], with zeros in the low bits.

    Each number is at least 16, so that no pixel of a block is black.
    """
    rows, columns = np.arange(height) // 8, np.arange(width) // 8
    place = rows[:, None] + columns[None, :] * (height // 8 + 1)
    high: Pixels = shades[place % len(shades)] & np.uint8(0xF0)
    return np.maximum(high, np.uint8(0x10))


def _shades(vectors: Tensor) -> Pixels:
    """Convert the absolute values of the first vector to shades of grey, 0 to 255."""
    sizes = np.abs(vectors[0].float().cpu().numpy()[:1024])
    shades: Pixels = (sizes / max(float(sizes.max()), 1e-12) * 255).astype(np.uint8)
    return shades


def _captioned(picture: Pixels, caption: str) -> Pixels:
    """Draw a line of text on a dark strip at the lower edge of a picture."""
    image = Image.fromarray(picture)
    size = max(9, image.height // 24)
    pen = ImageDraw.Draw(image, "RGBA")
    pen.rectangle([0, image.height - 2 * size, image.width, image.height], (0, 0, 0, 150))
    font = ImageFont.load_default(size)
    pen.text((size // 2, image.height - size), caption, (255, 255, 255, 255), font, anchor="lm")
    return np.asarray(image)
