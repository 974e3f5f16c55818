"""Draws a scene as a picture, at twice its size and then reduced so that edges are smooth."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from tests.nodes.sd.tiny.scenes import COLOURS, POSITIONS, RADII, SIZE, Scene, Thing

OVERSAMPLE = 2
FULL = SIZE * OVERSAMPLE
"""The side of the oversampled canvas, in pixels."""

Colour: TypeAlias = tuple[int, int, int]
Box: TypeAlias = tuple[float, float, float]
"""The place of a thing: centre x, centre y and radius, in pixels of the finished picture."""


def render(scene: Scene, rng: random.Random) -> Image.Image:
    """Draw a scene; `rng` varies colours, places and sizes a little."""
    return render_with_boxes(scene, rng)[0]


def render_with_boxes(scene: Scene, rng: random.Random) -> tuple[Image.Image, list[Box]]:
    """Draw a scene. Returns the picture and the place of each thing."""
    ground = _waver(COLOURS[scene.background], rng)
    picture = _background(scene.pattern, ground)
    boxes = []
    for thing in scene.things:
        box = _place(thing, rng)
        colour = _waver(COLOURS[thing.colour], rng)
        if scene.style == "sketch":
            _sketch(picture, thing, box, colour, ground, rng)
        else:
            _fill(picture, thing, box, colour)
        boxes.append((box[0] / OVERSAMPLE, box[1] / OVERSAMPLE, box[2] / OVERSAMPLE))
    picture = picture.reduce(OVERSAMPLE)
    if scene.style == "pixel":
        picture = picture.resize((16, 16), Image.Resampling.BOX).resize(
            (SIZE, SIZE), Image.Resampling.NEAREST
        )
    return picture, boxes


def silhouette(shape: str, x: float, y: float, radius: float, grow: float = 0) -> Image.Image:
    """The area of a shape on the oversampled canvas, 255 inside; a negative `grow` makes it thinner."""
    area = Image.new("L", (FULL, FULL))
    pen = ImageDraw.Draw(area)
    if shape in ("circle", "ring", "moon"):
        pen.ellipse(_around(x, y, radius + grow), fill=255)
        if shape == "ring":
            pen.ellipse(_around(x, y, radius * 0.55 - grow), fill=0)
        if shape == "moon":
            pen.ellipse(_around(x + radius * 0.48, y, radius * 0.85 - grow), fill=0)
        return area
    corners = [(x + radius * dx, y + radius * dy) for dx, dy in OUTLINES[shape]]
    pen.polygon(corners, fill=255)
    if grow < 0:
        pen.line([*corners, *corners[:2]], fill=0, width=int(-2 * grow), joint="curve")
    return area


def _star(points: int, inner: float, outer: float, start: float) -> list[tuple[float, float]]:
    turn = math.pi / points
    reach = [outer if i % 2 == 0 else inner for i in range(2 * points)]
    return [(r * math.cos(start + i * turn), r * math.sin(start + i * turn)) for i, r in enumerate(reach)]


def _polygon(corners: int, reach: float, start: float) -> list[tuple[float, float]]:
    return _star(corners, reach, reach, start)[::2]


def _heart() -> list[tuple[float, float]]:
    points = []
    for t in (2 * math.pi * i / 48 for i in range(48)):
        depth = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((1.1 * 16 * math.sin(t) ** 3 / 17, -1.1 * (depth + 2.5) / 17))
    return points


def _cross(arm: float) -> list[tuple[float, float]]:
    corner = [(arm, -1.0), (arm, -arm), (1.0, -arm)]
    return [point for quarter in range(4) for point in [_turned(p, quarter) for p in corner]]


def _turned(point: tuple[float, float], quarters: int) -> tuple[float, float]:
    x, y = point
    for _ in range(quarters):
        x, y = -y, x
    return x, y


OUTLINES: dict[str, Sequence[tuple[float, float]]] = {
    "square": [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
    "triangle": _polygon(3, 1.18, -math.pi / 2),
    "diamond": [(0, -1.15), (0.78, 0), (0, 1.15), (-0.78, 0)],
    "hexagon": _polygon(6, 1.05, 0),
    "star": _star(5, 0.5, 1.18, -math.pi / 2),
    "cross": _cross(0.36),
    "heart": _heart(),
}
"""Corners of the straight-edged shapes (and of the heart) for a radius of 1."""


def _place(thing: Thing, rng: random.Random) -> Box:
    radius = rng.uniform(*RADII[thing.size]) * OVERSAMPLE
    sway = (3 if thing.size == "large" else 5) * OVERSAMPLE
    x, y = POSITIONS[thing.position]
    return x * FULL + rng.uniform(-sway, sway), y * FULL + rng.uniform(-sway, sway), radius


def _fill(picture: Image.Image, thing: Thing, box: Box, colour: Colour) -> None:
    area = silhouette(thing.shape, *box)
    paint = Image.new("RGB", (FULL, FULL), colour)
    if thing.fill == "outlined":
        line = 5 if thing.size == "small" else 7
        area = ImageChops.difference(area, silhouette(thing.shape, *box, grow=-line))
    elif thing.fill != "flat":
        second = (60, 60, 60) if thing.colour == "white" else (250, 250, 250)
        paint = _pattern(thing.fill, colour, second, 12 if thing.fill == "striped" else 20)
    picture.paste(paint, (0, 0), area)


def _sketch(
    picture: Image.Image, thing: Thing, box: Box, colour: Colour, ground: Colour, rng: random.Random
) -> None:
    """Hatching in the thing's colour, and two pencil contours that do not quite meet."""
    x, y, radius = box
    hatching = Image.new("RGB", (FULL, FULL), ground)
    pen = ImageDraw.Draw(hatching)
    for start in range(-FULL, FULL, 14):
        left = start + rng.randint(-2, 2)
        pen.line([(left, FULL), (left + FULL, 0)], fill=colour, width=8)
    area = silhouette(thing.shape, *box)
    picture.paste(hatching, (0, 0), area)
    ink = Image.new("RGB", (FULL, FULL), (30, 30, 30) if sum(ground) > 200 else (225, 225, 225))
    picture.paste(ink, (0, 0), ImageChops.difference(area, silhouette(thing.shape, *box, grow=-4)))
    astray = silhouette(thing.shape, x + rng.uniform(-5, 5), y + rng.uniform(-5, 5), radius * 1.05)
    second = ImageChops.difference(astray, silhouette(thing.shape, x, y, radius * 1.02))
    picture.paste(ink, (0, 0), second.filter(ImageFilter.MinFilter(3)))


def _background(pattern: str, ground: Colour) -> Image.Image:
    if pattern == "plain":
        return Image.new("RGB", (FULL, FULL), ground)
    return _pattern(pattern, ground, _tint(ground, 0.45 if pattern == "gradient" else 0.3), 32)


def _pattern(kind: str, first: Colour, second: Colour, period: int) -> Image.Image:
    picture = Image.new("RGB", (FULL, FULL), first)
    pen = ImageDraw.Draw(picture)
    cells = range(FULL // period + 1)
    if kind == "striped":
        for x in range(0, FULL, 2 * period):
            pen.rectangle([x, 0, x + period - 1, FULL], fill=second)
    elif kind == "checkered":
        for x, y in ((i * period, j * period) for i in cells for j in cells if (i + j) % 2):
            pen.rectangle([x, y, x + period - 1, y + period - 1], fill=second)
    elif kind == "dotted":
        for i, j in ((i, j) for i in cells for j in cells):
            pen.ellipse(_around((i + 0.5) * period, (j + 0.5) * period, period * 0.3), fill=second)
    else:
        ramp = np.linspace(0, 1, FULL)[:, None, None]
        shades = (1 - ramp) * np.array(first) + ramp * np.array(second)
        return Image.fromarray(np.broadcast_to(shades, (FULL, FULL, 3)).astype(np.uint8))
    return picture


def _around(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    return x - radius, y - radius, x + radius, y + radius


def _waver(colour: Colour, rng: random.Random) -> Colour:
    red, green, blue = (max(0, min(255, channel + rng.randint(-7, 7))) for channel in colour)
    return red, green, blue


def _tint(colour: Colour, strength: float) -> Colour:
    """Towards white for a dark colour, towards black for a light one."""
    goal = 255 if sum(colour) < 380 else 0
    red, green, blue = (int(channel + (goal - channel) * strength) for channel in colour)
    return red, green, blue
