"""Adds borders to pictures, and makes masks for outpainting them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Border(NamedTuple):
    """The widths of a border in pixels."""

    left: int
    top: int
    right: int
    bottom: int


def padded(
    pixels: NDArray[np.uint8],
    border: Border,
    fill: Literal["color", "edge", "reflect"],
    color: tuple[int, int, int],
) -> NDArray[np.uint8]:
    """Add a border to pictures, uint8 [pictures, height, width, 3]."""
    around = ((0, 0), (border.top, border.bottom), (border.left, border.right), (0, 0))
    if fill != "color":
        return np.pad(pixels, around, "edge" if fill == "edge" else "reflect")
    count, height, width, _ = pixels.shape
    size = count, height + border.top + border.bottom, width + border.left + border.right, 3
    canvas = np.full(size, color, np.uint8)
    canvas[:, border.top : border.top + height, border.left : border.left + width] = pixels
    return canvas


def centred(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Place pictures in the middle of a larger size, and continue the pixels at their edges to fill it."""
    left, top = width // 2 - pixels.shape[2] // 2, height // 2 - pixels.shape[1] // 2
    border = Border(left, top, width - pixels.shape[2] - left, height - pixels.shape[1] - top)
    return padded(pixels, border, "edge", (0, 0, 0))


def border_mask(height: int, width: int, border: Border, feather: int) -> NDArray[np.float32]:
    """Make a mask that is 1 in the border and 0 in the picture, and fades into the picture.

    Inside, it is `(1 - distance / feather)²` of the distance to the nearest side that has a border, as in
    ComfyUI's ImagePadForOutpaint; without fading if the picture is not larger than twice `feather`.

    Args:
        height, width: the size of the picture without the border.
        border: the border.
        feather: how far the mask fades into the picture, in pixels.

    Returns:
        float32 [1, height, width] with the border.
    """
    inner = np.zeros((height, width), np.float32)
    if feather > 0 and 2 * feather < min(height, width):
        rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
        far = np.float32(max(height, width))
        distance = np.minimum(
            np.minimum(rows if border.top else far, height - rows if border.bottom else far),
            np.minimum(columns if border.left else far, width - columns if border.right else far),
        )
        inner[:] = np.maximum(0, 1 - distance / feather) ** 2
    around = ((border.top, border.bottom), (border.left, border.right))
    return np.pad(inner, around, constant_values=1)[None]
