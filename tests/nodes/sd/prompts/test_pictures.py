"""What weights, changes and parts of a prompt do to a picture, as a judge sees it that does not know them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image as pillow

from engine.events import Event
from engine.session import Session
from engine.sources import source
from tests.nodes.conftest import GRAPHS, output, ran, warnings
from tests.nodes.sd.tiny.judge import Seen, look

GRAPH = source.load(GRAPHS / "changing_prompt.json")


@pytest.fixture
def draw(session: Session) -> Callable[[str], Seen]:
    def call(prompt: str) -> Seen:
        report = session.run(GRAPH, {"prompt": prompt, "steps": 12})
        return look(pillow.fromarray(output(report).pixels[0]))

    return call


def seen(found: Seen) -> tuple[str, str]:
    return found.colour, found.shape


def test_an_earlier_switch_shows_more_of_the_second_prompt(draw: Callable[[str], Seen]) -> None:
    prompt = "[a red circle:a blue square:{}] on a white background"
    assert seen(draw(prompt.format("0.1"))) == ("blue", "square")
    assert seen(draw(prompt.format("0.5"))) == ("purple", "square")
    assert seen(draw(prompt.format("0.8"))) == ("red", "circle")


def test_the_weights_decide_between_two_colours(draw: Callable[[str], Seen]) -> None:
    assert seen(draw("a (red:0.4) (blue:1.5) circle on a white background")) == ("blue", "circle")
    assert seen(draw("a (red:1.5) (blue:0.4) circle on a white background")) == ("red", "circle")


def test_the_heavier_part_wins(draw: Callable[[str], Seen]) -> None:
    prompt = "a red circle on a white background :{} AND a blue circle on a white background :{}"
    assert draw(prompt.format(0.9, 0.1)).colour == "red"
    assert draw(prompt.format(0.1, 0.9)).colour == "blue"


def test_a_changing_conditioning_is_cached_for_any_number_of_steps(
    session: Session, open_session: Callable[[], Session]
) -> None:
    prompt = {"prompt": "[a red circle:a star:2] AND a [blue|green] square :0.3"}
    first = session.run(GRAPH, {**prompt, "steps": 3})
    again = open_session().run(GRAPH, {**prompt, "steps": 4})
    assert ran(again) == {"denoise", "decode"}  # its readings came back from disk
    fresh = session.run(GRAPH, {**prompt, "steps": 4})
    assert fresh.outputs["image"].digest == again.outputs["image"].digest
    assert not np.array_equal(output(first).pixels, output(again).pixels)


def test_a_negative_prompt_of_several_parts_is_refused_unless_it_is_read_as_one(session: Session) -> None:
    told: list[Event] = []
    reads_and = source.load(GRAPHS / "changing_prompt.json")
    del reads_and.nodes["negative"].inputs["negative"]
    report = session.run(reads_and, {"negative": "red AND blue", "steps": 1})
    assert report.state == "failed"
    problem = report.nodes["denoise"].problem
    assert problem is not None
    assert problem.place == "denoise.negative"
    assert "`negative`" in (problem.hint or "")
    assert session.run(reads_and, {"negative": "red:2", "steps": 1}, emit=told.append).state == "done"
    assert any("weight 2 of the negative prompt" in message for message in warnings(told))
    assert session.run(GRAPH, {"negative": "red AND blue", "steps": 1}).state == "done"
