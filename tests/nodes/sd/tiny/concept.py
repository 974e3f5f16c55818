"""Draws the pictures of a concept to train on: `python -m tests.nodes.sd.tiny.concept FOLDER`.

The concept is a thing of one shape and colour on changing backgrounds. The words for the background are in
the names of the files, so that an embedding can leave it to the prompt.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from PIL import Image

from tests.nodes.sd.tiny.render import render
from tests.nodes.sd.tiny.scenes import Scene, Thing

SHAPE, COLOUR = "heart", "purple"
BACKGROUNDS = ("blue", "white", "green", "black", "pink", "gray", "yellow", "cyan", "red", "brown")
PLACES = ("center", "left", "right", "top", "bottom", "center", "center", "center", "center", "center")
SEED = 5


def concept_pictures() -> dict[str, Image.Image]:
    """Ten pictures of a purple heart, by the names of their files."""
    rng = random.Random(SEED)
    pictures = {}
    for number, (background, place) in enumerate(zip(BACKGROUNDS, PLACES, strict=True)):
        thing = Thing(SHAPE, COLOUR, position=place)
        pictures[f"{number:02}-on a {background} background.png"] = render(Scene((thing,), background), rng)
    return pictures


def main(folder: Path) -> None:
    """Write the pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in concept_pictures().items():
        picture.save(folder / name, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
