"""ComfyUI's attention, against a naive reader that goes down bracket by bracket."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nodes.sd.prompts.comfy import read
from nodes.sd.prompts.excerpt import Excerpt, PromptError


def weights(prompt: str) -> list[tuple[str, float]]:
    return [(segment.text, segment.weight) for segment in read(Excerpt(prompt))]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a (b) c", [("a ", 1.0), ("b", 1.1), (" c", 1.0)]),
        ("((b))", [("b", 1.1 * 1.1)]),
        ("(a (b:1.2):1.5)", [("a ", 1.5), ("b", 1.2)]),
        ("((b:1.2))", [("b", 1.2)]),
        ("((b):1.5)", [("b", 1.5 * 1.1)]),
        ("(b:1e1)", [("b", 10.0)]),
        ("(b:x)", [("b:x", 1.1)]),
        ("(:1.2)", [(":1.2", 1.1)]),
        ("[a:b:0.5] {x}", [("[a:b:0.5] {x}", 1.0)]),
        ("(x", [("(x", 1.0)]),
        ("a) (b:1.2)", [("a) (b:1.2)", 1.0)]),
        (r"\(a\) \b", [(r"(a) \b", 1.0)]),
        ("(embedding:ink:1.2)", [("embedding:ink", 1.2)]),
        ("(embedding:ink)", [("embedding:ink", 1.1)]),
        ("()", []),
    ],
)
def test_a_prompt_reads_as_in_comfyui(prompt: str, expected: list[tuple[str, float]]) -> None:
    assert weights(prompt) == expected


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999"])
def test_a_weight_that_is_not_finite_is_refused_with_its_place(number: str) -> None:
    with pytest.raises(PromptError, match="bracket at character 3 is not finite"):
        read(Excerpt(f"a (b:{number})"))


@given(st.text(alphabet="()ab:1. \\", max_size=16))
@example("((a)")
@example("(a)) (b:2)(c:3)")
def test_comfy_syntax_matches_a_naive_parser(prompt: str) -> None:
    """Left aside: a number in unbalanced brackets, after whose cutting ComfyUI looks at the end anew."""
    whole = prompt.replace("\\(", "").replace("\\)", "")
    if whole.count("(") != whole.count(")") and ":" in prompt:
        return
    hidden = prompt.replace("\\)", "\0").replace("\\(", "\1")
    expected = [(text.replace("\0", ")").replace("\1", "("), weight) for text, weight in naive(hidden, 1.0)]
    assert weights(prompt) == [found for found in expected if found[0]]


def naive(text: str, weight: float) -> list[tuple[str, float]]:
    """Whole brackets on the outside, then those within; what never closes is text."""
    found: list[tuple[str, float]] = []
    for item in outermost(text):
        if len(item) < 2 or item[0] != "(" or item[-1] != ")":
            found.append((item, weight))
            continue
        inside, inner = item[1:-1], weight * 1.1
        cut = inside.rfind(":")
        if cut > 0:
            try:
                inner = float(inside[cut + 1 :])
                inside = inside[:cut]
            except ValueError:
                pass
        found += naive(inside, inner)
    return found


def outermost(text: str) -> list[str]:
    items, item, depth = [], "", 0
    for sign in text:
        if sign == "(" and depth == 0 and item:
            items.append(item)
            item = ""
        item += sign
        depth += (sign == "(") - (sign == ")")
        if sign == ")" and depth == 0:
            items.append(item)
            item = ""
    return [*items, item]
