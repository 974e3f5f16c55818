"""The shipped model draws what it is asked for: a small sample of what the model card states.

The bounds lie below the card's figures by what a sample of this size may miss; an untrained or broken model,
or one whose parts do not belong together, falls far short of them.
"""

from typing import Any

import numpy as np
import pytest
import torch

from tests.nodes.sd.tiny.evaluate import Settings, draw, load, pair_scenes, share, single_scenes, verdicts
from tests.nodes.sd.tiny.parts import WEIGHTS

torch.set_num_threads(1)
QUICK = Settings("dpmpp_2m", 10)


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return load(WEIGHTS)


def test_the_model_draws_one_thing(pipeline: Any) -> None:
    judged = verdicts(pipeline, single_scenes(24), QUICK)
    assert share(judged, "colour") >= 0.95
    assert share(judged, "background") >= 0.95
    assert share(judged, "position") >= 0.9
    assert share(judged, "shape") >= 0.85


def test_two_things_each_keep_their_colour_and_shape(pipeline: Any) -> None:
    judged = verdicts(pipeline, pair_scenes(12), QUICK)
    assert share(judged, "colour") >= 0.9
    assert share(judged, "background") >= 0.9
    assert share(judged, "shape") >= 0.75


def test_ordinary_words_do_not_matter(pipeline: Any) -> None:
    judged = verdicts(pipeline, single_scenes(8, seed=7), QUICK, "a photo of {}, highly detailed".format)
    assert share(judged, "colour") >= 0.85
    assert share(judged, "background") >= 0.85
    assert share(judged, "position") >= 0.85


def test_an_unknown_prompt_draws_no_noise(pipeline: Any) -> None:
    """Neighbouring pixels of noise differ by a lot; those of a plain picture hardly at all."""
    for picture in draw(pipeline, ["an astronaut riding a horse on mars", "zebra"], QUICK):
        pixels = np.asarray(picture, float)
        assert np.abs(np.diff(pixels, axis=1)).mean() < 12
