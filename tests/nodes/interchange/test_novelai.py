"""NovelAI's pictures, made into graphs; its brackets weighed by A1111's rules as by its own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.interchange.novelai import a1111_weights
from nodes.sd.prompts import attention
from nodes.sd.prompts.attention import Segment
from nodes.sd.prompts.excerpt import Excerpt
from tests.nodes.interchange.other_tools import checked, codes, defaults, imported, told, values

COMMENT: dict[str, Any] = {
    "prompt": "1girl, {{red}} [hat], (smile)",
    "steps": 28,
    "height": 768,
    "width": 512,
    "scale": 11.0,
    "uncond_scale": 1.0,
    "cfg_rescale": 0.0,
    "seed": 1016281108,
    "n_samples": 1,
    "noise_schedule": "karras",
    "sampler": "k_dpmpp_2s_ancestral",
    "sm": False,
    "dynamic_thresholding": False,
    "request_type": "PromptGenerateRequest",
    "uc": "lowres, {bad}",
}


def picture(**changed: Any) -> dict[str, str]:
    return {
        "Title": "AI generated image",
        "Description": COMMENT["prompt"],
        "Software": "NovelAI",
        "Source": "Stable Diffusion 1D44365E",
        "Comment": json.dumps({**COMMENT, **changed}),
    }


def test_a_picture() -> None:
    found = imported(picture())
    graph = found.graph
    assert found.origin == "NovelAI's comment"
    assert defaults(graph) == {
        "prompt": "1girl, ((red:1.05):1.05) (hat:0.952), \\(smile\\)",
        "negative": "lowres, (bad:1.05)",
        "model": None,
        "width": 512,
        "height": 768,
        "seed": 1016281108,
        "steps": 28,
        "guidance": 11.0,
    }
    said = values(graph, "denoise")
    assert (said["sampler"], said["schedule"]) == ("dpmpp_2s_ancestral", "karras")
    assert codes(found) == ["missing_model"]
    assert "Stable Diffusion 1D44365E" in told(found)
    assert checked(graph, model="safelight-tiny").ok


def test_novelai_fields_without_a_counterpart_give_warnings() -> None:
    found = imported(picture(sm=True, sampler="ddim_v9", v4_prompt={"caption": {}}))
    for field in ("sm: True", "sampler: ddim_v9", "v4_prompt"):
        assert field in told(found)


def by_its_own_rule(prompt: str) -> list[tuple[str, float]]:
    """The weight of every letter: 1.05 for each brace around it, 1/1.05 for each bracket, where all close."""
    weight, found = 1.0, []
    for letter in prompt:
        if letter in "{]":
            weight *= 1.05
        elif letter in "}[":
            weight /= 1.05
        else:
            found.append((letter, weight))
    return found


PROMPTS = st.recursive(
    st.text("ab(),\\", min_size=1, max_size=4),
    lambda inner: st.lists(st.tuples(st.sampled_from(["{}", "[]"]), inner), min_size=1, max_size=3).map(
        lambda parts: "x".join(f"{pair[0]}{text}{pair[1]}" for pair, text in parts)
    ),
    max_leaves=8,
)


@given(PROMPTS)
def test_novelai_weights_are_kept_for_every_letter(prompt: str) -> None:
    pieces, _ = attention.read(Excerpt(a1111_weights(prompt)))
    read = [(letter, piece.weight) for piece in pieces if isinstance(piece, Segment) for letter in piece.text]
    expected = by_its_own_rule(prompt)
    assert [letter for letter, _ in read] == [letter for letter, _ in expected]
    assert [weight for _, weight in read] == pytest.approx([weight for _, weight in expected], rel=2e-3)


@pytest.mark.parametrize("prompt", ["{a", "a}", "[a", "a]", "{[a}", "}{"])
def test_brackets_without_a_partner_are_text(prompt: str) -> None:
    pieces, _ = attention.read(Excerpt(a1111_weights(prompt)))
    texts = [piece.text for piece in pieces if isinstance(piece, Segment)]
    assert "".join(texts) == prompt
