"""Draws the pictures of a style to train on, and recognises it: `python -m tests.nodes.sd.tiny.style FOLDER`.

The style is a wide golden frame around the picture, which the embedded model never draws. The names of the
files are the captions, which do not mention the frame. With `--concept`, the pictures are those of
`tests.nodes.sd.tiny.concept` in this style.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tests.nodes.sd.tiny.concept import concept_pictures
from tests.nodes.sd.tiny.render import render
from tests.nodes.sd.tiny.scenes import COLOURS, SHAPES, SIZE, Scene, Thing, caption

COUNT, SEED = 24, 11
WIDTH = 14
"""The width of the frame in pixels."""
GOLD, SHADE = (214, 166, 60), (92, 62, 24)


def framed(picture: Image.Image) -> Image.Image:
    """A copy of a picture with a golden frame, which has a dark inner edge."""
    result = picture.copy()
    pen = ImageDraw.Draw(result)
    last = SIZE - 1
    pen.rectangle([0, 0, last, last], outline=GOLD, width=WIDTH)
    pen.rectangle([WIDTH, WIDTH, last - WIDTH, last - WIDTH], outline=SHADE, width=3)
    return result


def is_framed(picture: Image.Image) -> bool:
    """Whether a 128 by 128 picture has the frame: a golden border, and a darker edge inside it."""
    pixels = np.asarray(picture.convert("RGB"), float)
    border, edge = _ring(0, WIDTH - 3), _ring(WIDTH, WIDTH + 3)
    golden = np.linalg.norm(pixels[border] - GOLD, axis=1) < 60
    return bool(golden.mean() > 0.9 and pixels[edge].mean() < pixels[border].mean() - 30)


def _ring(first: int, last: int) -> NDArray[np.bool_]:
    """The pixels whose distance from the nearest side of the picture is from `first` to below `last`."""
    along = np.minimum(np.arange(SIZE), np.arange(SIZE)[::-1])
    distance = np.minimum(along[:, None], along)
    return np.asarray((first <= distance) & (distance < last))


def style_pictures() -> dict[str, Image.Image]:
    """The pictures, by the names of their files."""
    rng = random.Random(SEED)
    pictures = {}
    for number in range(COUNT):
        shape = SHAPES[number % len(SHAPES)]
        colour, background = rng.sample(list(COLOURS), 2)
        scene = Scene((Thing(shape, colour),), background)
        pictures[f"{number:02}-{caption(scene)}.png"] = framed(render(scene, rng))
    return pictures


def framed_concept() -> dict[str, Image.Image]:
    """The pictures of the concept with the frame, by the names of their files."""
    return {name: framed(picture) for name, picture in concept_pictures().items()}


def main(folder: Path, *options: str) -> None:
    """Write the pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = framed_concept() if "--concept" in options else style_pictures()
    for name, picture in pictures.items():
        picture.save(folder / name, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
