"""The example's ControlNet makes `safelight-tiny` draw a thing where an outline shows it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as pillow

from engine.session import Session
from engine.testing import run_node
from nodes.image.load_image import LoadImage
from nodes.latent.decode import Decode
from nodes.latent.latents import EmptyLatent
from nodes.model.load import LoadModel
from nodes.prompt.controlnet import ApplyControlNet, LoadControlNet
from nodes.prompt.encode_prompt import EncodePrompt
from nodes.sampling.denoise import Denoise
from nodes.values import Image
from tests.nodes.conftest import GRAPHS
from tests.nodes.sd.tiny.controlnet import draw_outline
from tests.nodes.sd.tiny.judge import Seen, look
from tests.nodes.sd.tiny.scenes import SIZE

OUTLINE = ("star", 90, 84, 30)
"""The shape, centre x, centre y and radius of the outline that the example follows."""
NEAR = 0.07
"""The greatest distance, as a share of the picture's side, at which two places count as the same."""


def test_the_shipped_outline_is_that_of_the_generator() -> None:
    with pillow.open(GRAPHS / "pictures" / "star-outline.png") as shipped:
        assert shipped.convert("RGB").tobytes() == draw_outline(*OUTLINE).tobytes()


def drawn(session: Session, folder: Path, place: tuple[int, int], strength: float) -> Sequence[Seen]:
    """What four pictures show that follow the outline of a circle at a place."""
    draw_outline("circle", *place, 24).save(folder / "outline.png")
    parts: dict[str, Any] = dict(run_node(session, LoadModel()))
    encoder = parts["encoder"]
    prompts: dict[str, Any] = {
        "positive": run_node(
            session, EncodePrompt(encoder=encoder, prompt="a red circle on a blue background")
        )["out"],
        "negative": run_node(session, EncodePrompt(encoder=encoder, negative=True))["out"],
    }
    given: dict[str, Any] = {
        "controlnet": run_node(session, LoadControlNet(controlnet=str(GRAPHS / "controlnets" / "outline")))[
            "out"
        ],
        "image": run_node(session, LoadImage(image=str(folder / "outline.png")))["out"],
    }
    controlled: dict[str, Any] = dict(
        run_node(session, ApplyControlNet(strength=strength, **prompts, **given))
    )
    latent: Any = run_node(session, EmptyLatent(width=SIZE, height=SIZE, batch=4))["out"]
    node = Denoise(model=parts["model"], latent=latent, seed=1, steps=8, guidance=4.0, **controlled)
    denoised: Any = run_node(session, node)["latent"]
    image = run_node(session, Decode(vae=parts["vae"], latent=denoised))["out"]
    assert isinstance(image, Image)
    return [look(pillow.fromarray(pixels)) for pixels in image.pixels]


@pytest.mark.parametrize("place", [(36, 40), (92, 84)])
def test_a_thing_is_drawn_where_the_outline_shows_it(
    session: Session, tmp_path: Path, place: tuple[int, int]
) -> None:
    for seen in drawn(session, tmp_path, place, 1.0):
        assert (seen.colour, seen.shape, seen.background) == ("red", "circle", "blue")
        assert abs(seen.x - place[0] / SIZE) < NEAR
        assert abs(seen.y - place[1] / SIZE) < NEAR


def test_without_strength_the_outline_has_no_effect(session: Session, tmp_path: Path) -> None:
    first, second = (drawn(session, tmp_path, place, 0.0) for place in ((36, 40), (92, 84)))
    assert first == second
    assert not any(abs(seen.x - 36 / SIZE) < NEAR and abs(seen.y - 40 / SIZE) < NEAR for seen in first)
