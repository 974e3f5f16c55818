"""Upscales a picture in overlapping tiles, so that memory use does not depend on its size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nodes.sd.upscalers.file import UpscaleNetwork


@dataclass(frozen=True)
class Tile:
    """A rectangle of the input that one call of the network upscales, and the larger one that it reads."""

    top: int
    left: int
    bottom: int
    right: int
    seen_top: int
    seen_left: int
    seen_bottom: int
    seen_right: int


def tiles(height: int, width: int, size: int, overlap: int, multiple: int) -> list[Tile]:
    """Divide a picture into tiles, row by row; a picture that fits into one tile gives one.

    Args:
        height, width: the size of the picture, multiples of `multiple`.
        size: the greatest side of a tile with its overlap.
        overlap: how many pixels beyond its rectangle the network sees on each side.
        multiple: tiles begin and end at multiples of it.
    """
    overlap = -(-overlap // multiple) * multiple
    size = max(size // multiple * multiple, 2 * overlap + multiple)
    rows, columns = (_spans(side, size, overlap, multiple) for side in (height, width))
    return [
        Tile(top, left, bottom, right, seen_top, seen_left, seen_bottom, seen_right)
        for top, bottom, seen_top, seen_bottom in rows
        for left, right, seen_left, seen_right in columns
    ]


def _spans(side: int, size: int, overlap: int, multiple: int) -> list[tuple[int, int, int, int]]:
    if side <= size:
        return [(0, side, 0, side)]
    step = (size - 2 * overlap) // multiple * multiple
    return [
        (start, min(start + step, side), max(start - overlap, 0), min(start + step + overlap, side))
        for start in range(0, side, step)
    ]


def upscale(network: UpscaleNetwork, picture: Tensor, size: int, overlap: int) -> Iterator[Tensor]:
    """Upscale a picture tile by tile.

    The tiles are cut in the middle of their overlap. If the overlap covers the receptive field of the
    network, the result equals that for the whole picture; otherwise the difference is small.

    Args:
        network: the upscale model.
        picture: float32 [3, height, width] from 0 to 1, on any device; the network's device computes.
        size: the greatest side of a tile with its overlap; 0 for the whole picture at once.
        overlap: how many pixels of the input each tile sees beyond its own.

    Yields:
        the unfinished result after each tile: float32 [3, height x scale, width x scale] on the CPU; the
        network may overshoot 0 and 1. It is the same tensor each time.
    """
    _, height, width = picture.shape
    like = next(network.module.parameters())
    multiple, scale = network.multiple, network.scale
    padding = (0, -width % multiple, 0, -height % multiple)
    padded = functional.pad(picture[None], padding, "replicate")
    result = torch.zeros(3, padded.shape[2] * scale, padded.shape[3] * scale)
    side = size or max(padded.shape[2:])
    for tile in tiles(padded.shape[2], padded.shape[3], side, overlap if size else 0, multiple):
        seen = padded[:, :, tile.seen_top : tile.seen_bottom, tile.seen_left : tile.seen_right]
        with torch.no_grad():
            larger = network.module(seen.to(like.device, like.dtype))[0].float().cpu()
        top, left = (tile.top - tile.seen_top) * scale, (tile.left - tile.seen_left) * scale
        rows, columns = (tile.bottom - tile.top) * scale, (tile.right - tile.left) * scale
        result[:, tile.top * scale : tile.bottom * scale, tile.left * scale : tile.right * scale] = larger[
            :, top : top + rows, left : left + columns
        ]
        yield result[:, : height * scale, : width * scale]


def tile_count(height: int, width: int, size: int, overlap: int, multiple: int) -> int:
    """Return the number of tiles that `upscale` processes."""
    height, width = height + -height % multiple, width + -width % multiple
    return len(tiles(height, width, size or max(height, width), overlap if size else 0, multiple))
