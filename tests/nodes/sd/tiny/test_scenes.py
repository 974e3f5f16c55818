"""Scenes are a function of the seed, and captions say what is drawn."""

import random

import numpy as np
import pytest

from tests.nodes.sd.tiny.judge import judge
from tests.nodes.sd.tiny.render import render, render_with_boxes
from tests.nodes.sd.tiny.scenes import (
    COLOURS,
    FILLS,
    PATTERNS,
    POSITIONS,
    SHAPES,
    SIZE,
    STYLES,
    Scene,
    Thing,
    caption,
    draw_scene,
    free_caption,
)


def test_a_seed_gives_one_scene_one_caption_and_one_picture() -> None:
    def all_of(seed: int) -> tuple[Scene, str, bytes]:
        rng = random.Random(seed)
        scene = draw_scene(rng)
        return scene, free_caption(scene, rng), render(scene, rng).tobytes()

    assert [all_of(seed) for seed in range(8)] == [all_of(seed) for seed in range(8)]
    assert len({all_of(seed)[2] for seed in range(8)}) == 8


def test_plain_captions_are_exact() -> None:
    left = Thing("moon", "orange", "striped", "left")
    right = Thing("hexagon", "red", "flat", "right")
    assert caption(Scene((Thing("star", "red"),), "blue")) == "a red star on a blue background"
    assert (
        caption(
            Scene((Thing("cross", "gray", "outlined", "top left", "small"),), "orange", "dotted", "pixel")
        )
        == "pixel art of a small outlined gray cross in the top left corner on a dotted orange background"
    )
    assert (
        caption(Scene((left, right), "white", relation="left of"))
        == "a striped orange moon left of a red hexagon on a white background"
    )


def test_plain_captions_tell_scenes_apart() -> None:
    scenes = {
        Scene((Thing(shape, "red", fill, position),), background, pattern, style)
        for shape in SHAPES
        for fill in FILLS
        for position in POSITIONS
        for background in ("blue", "gray")
        for pattern in PATTERNS
        for style in STYLES
        if style != "sketch" or fill == "flat"  # a sketch hatches every thing the same way
    }
    assert len({caption(scene) for scene in scenes}) == len(scenes)


@pytest.mark.parametrize("two", [0, 1])
def test_the_judge_agrees_with_what_was_drawn(two: float) -> None:
    """Colours, places and shapes that captions name are really in the pictures."""
    rng = random.Random(3)
    right = []
    for _ in range(80):
        scene = draw_scene(rng, two=two, plain=1)
        right += [(v.colour, v.background, v.position, v.shape) for v in judge(render(scene, rng), scene)]
    assert np.mean(right, 0) == pytest.approx([1, 1, 1, 1], abs=0.013)


@pytest.mark.parametrize("background", list(COLOURS))
def test_a_background_is_its_named_colour(background: str) -> None:
    """The corner of a plain picture differs from the named colour by no more than the wavering of 7."""
    colour = "red" if background != "red" else "blue"
    picture = render(Scene((Thing("circle", colour),), background), random.Random(1))
    assert np.abs(np.asarray(picture)[0, 0].astype(int) - COLOURS[background]).max() <= 7


def test_boxes_surround_the_things() -> None:
    rng = random.Random(4)
    for _ in range(10):
        picture, [(x, y, radius)] = render_with_boxes(draw_scene(rng, two=0, plain=1), rng)
        pixels = np.asarray(picture).astype(int)
        outside = np.hypot(np.arange(SIZE)[None] - x, np.arange(SIZE)[:, None] - y) > 1.25 * radius + 2
        assert (pixels[outside] == pixels[0, 0]).all()
        assert (pixels[~outside] != pixels[0, 0]).any()
