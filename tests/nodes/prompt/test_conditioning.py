"""Nodes that combine and limit prompts, against ComfyUI's rules for the tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from engine.errors import NodeError
from engine.session import Session
from engine.testing import open_session, run_node
from nodes.prompt.conditioning import (
    AveragePrompts,
    CombinePrompts,
    JoinPrompts,
    LimitToArea,
    LimitToMask,
    LimitToSteps,
    ZeroPrompt,
)
from nodes.sd.prompts.regions import Area, Region, Span
from nodes.sd.prompts.timeline import PromptPart, Timeline
from nodes.values import Conditioning, Mask


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with open_session() as session:
        yield session


def rows(value: float, chunks: int = 1) -> torch.Tensor:
    return torch.full((1, 77 * chunks, 8), float(value))


def prompt(value: float, chunks: int = 1, pooled: float | None = None) -> Conditioning:
    vector = None if pooled is None else torch.full((1, 4), float(pooled))
    return Conditioning(rows(value, chunks), 3, pooled=vector)


def changing(first: float, second: float, timeline: Timeline) -> Conditioning:
    return Conditioning(rows(first), 3, (PromptPart((rows(first), rows(second)), timeline),))


def made(session: Session, node: Any) -> tuple[PromptPart, ...]:
    found = run_node(session, node)["out"]
    assert isinstance(found, Conditioning)
    return found.parts


def test_combined_prompts_keep_their_parts_apart(session: Session) -> None:
    two = Conditioning(rows(1), 3, (PromptPart((rows(1),), weight=0.5), PromptPart((rows(2),), weight=2.0)))
    both = run_node(session, CombinePrompts(first=two, second=prompt(3)))["out"]
    assert isinstance(both, Conditioning)
    three = made(session, CombinePrompts(first=both, second=two))
    assert [part.group for part in three] == [0, 0, 1, 2, 2]
    assert [float(part.encodings[0].mean()) for part in three] == [1, 2, 3, 1, 2]
    assert [part.weight for part in three] == [0.5, 2, 1, 0.5, 2]


def test_joined_prompts_are_read_one_after_the_other(session: Session) -> None:
    (part,) = made(session, JoinPrompts(first=prompt(1, pooled=5), second=prompt(2, 2, pooled=6)))
    assert part.encodings[0].shape == (1, 231, 8)
    assert part.encodings[0][0, [0, 76, 77, 230], 0].tolist() == [1, 1, 2, 2]
    assert part.pooled[0].mean() == 5


def test_an_average_lies_between(session: Session) -> None:
    (part,) = made(
        session, AveragePrompts(first=prompt(1, pooled=8), second=prompt(2, pooled=4), weight=0.25)
    )
    torch.testing.assert_close(part.encodings[0], rows(1.75))
    torch.testing.assert_close(part.pooled[0], torch.full((1, 4), 5.0))
    (part,) = made(session, AveragePrompts(first=prompt(1, 2), second=prompt(2), weight=0.5))
    torch.testing.assert_close(part.encodings[0], torch.cat([rows(1.5), rows(0.5)], 1))
    (part,) = made(session, AveragePrompts(first=prompt(1), second=prompt(2, 2), weight=0.5))
    torch.testing.assert_close(part.encodings[0], rows(1.5))


def test_prompts_that_change_are_joined_step_by_step(session: Session) -> None:
    one = Timeline((0.5,), (), 1, (0, 1))
    other = Timeline((), (3,), 2, (0, 1, 1, 0))
    node = AveragePrompts(first=changing(0, 100, one), second=changing(0, 1, other), weight=0.5)
    (part,) = made(session, node)
    for total in (4, 7, 10):
        for step in range(total):
            expected = (100 * one.at(step, total) + other.at(step, total)) / 2
            assert float(part.at(step, total).mean()) == expected


def test_limits_are_kept_with_the_prompt(session: Session) -> None:
    area = LimitToArea(prompt=prompt(1), width=256, height=130, x=64, y=8, strength=0.7)
    (part,) = made(session, area)
    assert part.region == Region(Area(16, 32, 1, 8), strength=0.7)
    share = LimitToArea(prompt=prompt(1), width=0.5, height=1, x=0.5, y=0, unit="share")
    assert made(session, share)[0].region == Region(Area(1, 0.5, 0, 0.5, relative=True))
    levels = np.linspace(0, 1, 12, dtype=np.float32).reshape(1, 3, 4)
    region = made(session, LimitToMask(prompt=prompt(1), mask=Mask(levels), strength=2, crop=True))[0].region
    assert region.mask is not None
    assert torch.equal(region.mask, torch.from_numpy(levels.copy()))
    assert (region.mask_strength, region.crops_to_mask, region.strength) == (2, True, 1)
    assert made(session, LimitToSteps(prompt=prompt(1), start=0.2, end=0.6))[0].span == Span(0.2, 0.6)


def test_a_zeroed_prompt_has_zeros_in_its_rows_and_its_vector(session: Session) -> None:
    (part,) = made(session, ZeroPrompt(prompt=prompt(1, pooled=2)))
    assert not part.encodings[0].any()
    assert not part.pooled[0].any()


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (
            LimitToArea(prompt=prompt(1), width=1.5, height=1, unit="share"),
            "1.5 is more than the whole picture",
        ),
        (LimitToArea(prompt=prompt(1), width=4, height=64), "the area is empty"),
        (LimitToSteps(prompt=prompt(1), start=0.6, end=0.6), "would stop at 0.6, before it begins"),
        (
            JoinPrompts(first=prompt(1), second=Conditioning(rows(1), 3, (PromptPart((rows(1),)),) * 2)),
            "this prompt has 2 parts",
        ),
        (JoinPrompts(first=prompt(1), second=Conditioning(torch.zeros(1, 77, 9), 3)), "widths 8 and 9"),
    ],
)
def test_invalid_conditioning_combinations_are_refused(session: Session, node: Any, words: str) -> None:
    with pytest.raises(NodeError, match=words):
        run_node(session, node)
