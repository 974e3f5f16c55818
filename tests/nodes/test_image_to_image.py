"""Painting over a picture: what stays and what changes."""

from __future__ import annotations

import numpy as np
from PIL import Image as pillow

from engine.session import Session
from engine.sources import source
from tests.nodes.conftest import GRAPHS, output, ran
from tests.nodes.sd.tiny.judge import look

GRAPH = source.load(GRAPHS / "image_to_image.json")
STAR = str(GRAPHS / "pictures" / "green-star.png")


def star() -> pillow.Image:
    with pillow.open(STAR) as picture:
        return picture.convert("RGB")


def test_image_to_image_keeps_the_position_of_the_subject(session: Session) -> None:
    seen = look(pillow.fromarray(output(session.run(GRAPH, {"image": STAR})).pixels[0]))
    assert (seen.colour, seen.background) == ("red", "yellow")
    before = look(star())
    assert abs(seen.x - before.x) < 0.1
    assert abs(seen.y - before.y) < 0.1


def test_more_strength_changes_more(session: Session) -> None:
    before = np.asarray(star()).astype(float)
    changed = [
        np.abs(output(session.run(GRAPH, {"image": STAR, "strength": strength})).pixels[0] - before).mean()
        for strength in (0.0, 0.5, 1.0)
    ]
    assert changed[0] < 6
    assert changed == sorted(changed)


def test_another_prompt_reads_the_picture_from_the_store(session: Session) -> None:
    session.run(GRAPH, {"image": STAR, "steps": 4})
    report = session.run(GRAPH, {"image": STAR, "steps": 4, "prompt": "a blue star on a white background"})
    assert ran(report) == {"positive", "denoise", "decode"}
