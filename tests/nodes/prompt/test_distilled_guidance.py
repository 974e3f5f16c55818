"""SetDistilledGuidance: the guidance reaches every part of a prompt, and is kept with it."""

from __future__ import annotations

import torch

from engine.packing import unpack
from engine.testing import run_node
from nodes.prompt.distilled_guidance import SetDistilledGuidance
from nodes.sd.families.family import SizeHints
from nodes.sd.prompts.timeline import PromptPart
from nodes.values import Conditioning

ROWS = torch.ones(1, 256, 8)


def test_the_guidance_reaches_every_part_and_leaves_the_rest() -> None:
    pooled = torch.ones(1, 4)
    plain = Conditioning(ROWS, 1, pooled=pooled, size=SizeHints((640, 480)))
    joined = Conditioning(ROWS, 1, (PromptPart((ROWS,)), PromptPart((ROWS,), weight=2, guidance=1.0)))
    for prompt in (plain, joined):
        out = run_node(SetDistilledGuidance(prompt=prompt, guidance=2.5))["out"]
        assert isinstance(out, Conditioning)
        assert [part.guidance for part in out.parts] == [2.5] * len(prompt.parts)
        for found, given in zip(out.parts, prompt.parts, strict=True):
            assert found._replace(guidance=given.guidance) == given
        assert "distilled guidance 2.5" in out.summary()


def test_the_guidance_is_kept_in_the_cache() -> None:
    out = run_node(SetDistilledGuidance(prompt=Conditioning(ROWS, 1), guidance=2.5))["out"]
    assert isinstance(out, Conditioning)
    packed = out.pack()
    again = unpack(packed.type, packed.meta, {part.name: part.data for part in packed.parts})
    assert isinstance(again, Conditioning)
    assert [part.guidance for part in again.parts] == [2.5]
