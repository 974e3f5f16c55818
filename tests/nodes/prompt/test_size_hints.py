"""SetSizeHints: the numbers that SDXL reads beside a prompt, as diffusers puts them."""

from __future__ import annotations

import torch

from engine.testing import run_node
from nodes.prompt.size_hints import SetSizeHints
from nodes.sd.families.family import NO_HINTS, SizeHints
from nodes.sd.families.known import family_named
from nodes.sd.prompts.timeline import PromptPart
from nodes.values import Conditioning

ROWS = torch.zeros(1, 77, 8)


def test_the_hints_reach_every_part_of_a_prompt() -> None:
    plain = Conditioning(ROWS, 1)
    joined = Conditioning(ROWS, 1, (PromptPart((ROWS,)), PromptPart((ROWS,), weight=2)))
    for prompt in (plain, joined):
        node = SetSizeHints(prompt=prompt, original_width=640, original_height=480, crop_top=8)
        out = run_node(node)["out"]
        assert isinstance(out, Conditioning)
        assert [part.size for part in out.parts] == [SizeHints((640, 480), (0, 8))] * len(prompt.parts)


def test_the_numbers_are_in_the_order_of_diffusers() -> None:
    """`_get_add_time_ids`: original height and width, crop top and left, then the target or the score."""
    base, refiner = (family_named(name).size_numbers for name in ("sdxl", "sdxl-refiner"))
    assert base is not None
    assert refiner is not None
    assert base(NO_HINTS, (1024, 768), False) == (768, 1024, 0, 0, 768, 1024)
    hints = SizeHints((640, 480), (3, 5), (512, 256), 7.5)
    assert base(hints, (1024, 768), False) == (480, 640, 5, 3, 256, 512)
    assert refiner(hints, (1024, 768), False) == (480, 640, 5, 3, 7.5)
    assert [refiner(NO_HINTS, (8, 8), negative)[-1] for negative in (False, True)] == [6.0, 2.5]
