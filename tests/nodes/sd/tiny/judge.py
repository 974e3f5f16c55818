"""Recognises the colours, places and shapes in a picture without knowing its prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.nodes.sd.tiny.render import FULL, OVERSAMPLE, silhouette
from tests.nodes.sd.tiny.scenes import COLOURS, POSITIONS, SHAPES, SIZE, Scene, Thing

FEWEST_PIXELS = 30
"""The smallest patch of colour, in pixels, that counts as a thing."""

Picture = NDArray[np.float64]
Area = NDArray[np.bool_]


@dataclass(frozen=True)
class Seen:
    """One recognised thing; `shape` and `colour` are empty if there is none."""

    background: str
    colour: str = ""
    shape: str = ""
    overlap: float = 0.0
    """Intersection over union with the shape's outline, 0 to 1."""
    x: float = -1.0
    y: float = -1.0
    """Centre of the bounding box, as fractions of width and height."""

    def is_at(self, position: str) -> bool:
        """Whether the thing lies within 13 % of the picture's side of a named position."""
        x, y = POSITIONS[position]
        return abs(self.x - x) < 0.13 and abs(self.y - y) < 0.13


@dataclass(frozen=True)
class Verdict:
    """The properties of a thing that match the prompt."""

    colour: bool
    background: bool
    position: bool
    shape: bool


def compare(seen: Seen, thing: Thing, background: str) -> Verdict:
    """Compare a recognised thing with the requested one."""
    return Verdict(
        colour=seen.colour == thing.colour,
        background=seen.background == background,
        position=seen.is_at(thing.position),
        shape=seen.shape == thing.shape,
    )


def look(picture: Image.Image) -> Seen:
    """Look at a 128 by 128 picture of one thing on a plain background."""
    pixels = np.asarray(picture.convert("RGB"), float)
    background = _ring_colour(pixels)
    return _look_at(pixels, np.ones(pixels.shape[:2], bool), background)


def look_at_two(picture: Image.Image, relation: str) -> tuple[Seen, Seen]:
    """Look at a picture of two things, one half at a time: left and right, or above and below."""
    pixels = np.asarray(picture.convert("RGB"), float)
    background = _ring_colour(pixels)
    first = np.zeros(pixels.shape[:2], bool)
    if relation == "above":
        first[: SIZE // 2] = True
    else:
        first[:, : SIZE // 2] = True
    a, b = (_look_at(pixels, half, background) for half in (first, ~first))
    return a, b


def judge(picture: Image.Image, scene: Scene) -> list[Verdict]:
    """Judge a picture against the scene it should show, a verdict for each of its things in order."""
    if len(scene.things) == 1:
        seen: Sequence[Seen] = [look(picture)]
    else:
        seen = look_at_two(picture, scene.relation)
    return [compare(s, thing, scene.background) for s, thing in zip(seen, scene.things, strict=True)]


def nearest_colour(rgb: NDArray[np.float64]) -> str:
    """The name in `COLOURS` nearest to an RGB colour (0 to 255)."""
    distances = {name: float(((rgb - np.array(value)) ** 2).sum()) for name, value in COLOURS.items()}
    return min(distances, key=distances.__getitem__)


def _ring_colour(pixels: Picture) -> NDArray[np.float64]:
    edge = np.ones((SIZE, SIZE), bool)
    edge[5:-5, 5:-5] = False
    return np.asarray(np.median(pixels[edge], 0))


def _foreground(pixels: Picture, where: Area, background: NDArray[np.float64]) -> Area:
    distance = np.sqrt(((pixels - background) ** 2).sum(2))
    return np.asarray(where & (distance > max(22.0, 0.5 * float(np.percentile(distance[where], 99)))))


def _look_at(pixels: Picture, where: Area, background: NDArray[np.float64]) -> Seen:
    ground = nearest_colour(background)
    area = largest_patch(_foreground(pixels, where, background))
    if area.sum() < FEWEST_PIXELS:
        return Seen(ground)
    outline = _normalised(area)
    overlaps = {name: max(_overlap(outline, t) for t in _templates(name)) for name in SHAPES}
    shape = max(overlaps, key=overlaps.__getitem__)
    rows, columns = np.where(area)
    return Seen(
        background=ground,
        colour=nearest_colour(np.median(pixels[area], 0)),
        shape=shape,
        overlap=overlaps[shape],
        x=float(columns.min() + columns.max()) / 2 / SIZE,
        y=float(rows.min() + rows.max()) / 2 / SIZE,
    )


def largest_patch(area: Area) -> Area:
    """The largest connected part of an area (4-neighbours)."""
    seen = np.zeros_like(area)
    best: list[tuple[int, int]] = []
    for start in zip(*np.nonzero(area), strict=True):
        if seen[start]:
            continue
        seen[start] = True
        patch = [(int(start[0]), int(start[1]))]
        for y, x in patch:  # grows while it is walked
            for near in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                inside = 0 <= near[0] < area.shape[0] and 0 <= near[1] < area.shape[1]
                if inside and area[near] and not seen[near]:
                    seen[near] = True
                    patch.append(near)
        best = max(best, patch, key=len)
    result = np.zeros_like(area)
    if best:
        result[tuple(np.array(best).T)] = True
    return result


def _normalised(area: Area, side: int = 32) -> Picture:
    """The area's bounding box, padded to a square and scaled, with values 0 to 1."""
    rows, columns = np.where(area)
    crop = area[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    height, width = crop.shape
    longest = max(height, width)
    square = np.zeros((longest, longest), np.uint8)
    top, left = (longest - height) // 2, (longest - width) // 2
    square[top : top + height, left : left + width] = crop * np.uint8(255)
    scaled = Image.fromarray(square).resize((side, side), Image.Resampling.BOX)
    return np.asarray(scaled, float) / 255


@cache
def _templates(shape: str) -> tuple[Picture, ...]:
    """A shape rendered small, medium and large."""
    areas = (silhouette(shape, FULL / 2, FULL / 2, radius).reduce(OVERSAMPLE) for radius in (30, 46, 80))
    return tuple(_normalised(np.asarray(area) > 127) for area in areas)


def _overlap(a: Picture, b: Picture) -> float:
    return float(np.minimum(a, b).sum() / np.maximum(a, b).sum())
