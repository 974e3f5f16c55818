"""A1111's attention: its table, and a naive reading that multiplies every range by itself."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nodes.sd.prompts.attention import Break, Segment, read
from nodes.sd.prompts.excerpt import Excerpt, PromptError
from tests import matrix


def weights(prompt: str) -> list[tuple[str, float] | None]:
    """Texts and weights; None is a break."""
    return [
        None if isinstance(piece, Break) else (piece.text, piece.weight) for piece in read(Excerpt(prompt))[0]
    ]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a word", [("a word", 1.0)]),
        ("a (word)", [("a ", 1.0), ("word", 1.1)]),
        ("a [word]", [("a ", 1.0), ("word", 1 / 1.1)]),
        ("a (word:1.3)", [("a ", 1.0), ("word", 1.3)]),
        ("(a (word:1.3):1.5)", [("a ", 1.5), ("word", 1.5 * 1.3)]),
        ("((a) b", [("a", 1.1 * 1.1), (" b", 1.1)]),
        ("[a", [("a", 1 / 1.1)]),
        ("a) b] c", [("a) b] c", 1.0)]),
        ("(a: +1.3 )", [("a", 1.3)]),
        ("(a:-.5)", [("a", -0.5)]),
        ("(a:1e3)", [("a:1e3", 1.1)]),
        ("[a:1.5]", [("a:1.5", 1 / 1.1)]),
        (r"\(a\) \[b\] \\ c\d", [("(a) [b] \\ cd", 1.0)]),
        ("(a [b) c]", [("a ", 1.1), ("b", 1.1 * (1 / 1.1)), (" c", 1 / 1.1)]),
        ("(a)(b) (c:1.1)", [("ab", 1.1), (" ", 1.0), ("c", 1.1)]),
        ("a BREAK b", [("a", 1.0), None, ("b", 1.0)]),
        ("BREAK a BREAK", [None, ("a", 1.0), None]),
        ("BREAKS aBREAK BREAK_", [("BREAKS aBREAK BREAK_", 1.0)]),
        ("(a BREAK b:1.2)", [("a", 1.2), None, ("b", 1.2)]),
        ("", []),
        ("()", []),
    ],
)
def test_a_prompt_reads_as_a1111_documents_it(prompt: str, expected: list[tuple[str, float] | None]) -> None:
    found = weights(prompt)
    assert len(found) == len(expected)
    for mine, its in zip(found, expected, strict=True):
        if mine is None or its is None:
            assert mine is its
        else:
            assert mine[0] == its[0]
            assert mine[1] == pytest.approx(its[1], rel=1e-12)
    matrix.record("Prompts in A1111's dialect", f"`{prompt}`", "its documented weights", _spelt(found))


def _spelt(pieces: list[tuple[str, float] | None]) -> str:
    texts = ("BREAK" if piece is None else f"{piece[0]!r} {piece[1]:.4g}" for piece in pieces)
    return ", ".join(texts) or "nothing"


def test_a_break_inside_brackets_is_told_with_its_place() -> None:
    (warning,) = read(Excerpt("(a BREAK b)"))[1]
    assert "BREAK" in warning.message
    assert warning.at == 3


@pytest.mark.parametrize("number", ["1.2.3", ".", "1..2"])
def test_a_weight_that_is_no_number_is_refused_with_its_place(number: str) -> None:
    with pytest.raises(PromptError, match=re.escape(f"{number!r} at character 8 is not a number")):
        read(Excerpt(f"ab (cd:{number})"))


def test_an_infinite_prompt_weight_is_refused() -> None:
    with pytest.raises(PromptError, match="character 10001"):
        read(Excerpt("(" * 10_000 + "x"))


PROMPTS = st.text(alphabet="()[]:\\ab1.+- B", max_size=30)


@given(PROMPTS)
@example("([)]:1)")
@example("(a:1)(b:2)]")
def test_attention_matches_a_naive_parser(prompt: str) -> None:
    try:
        found = read(Excerpt(prompt))[0]
    except PromptError:
        assert re.search(r":\s*[+-]?[.\d]+\s*\)", prompt)
        return
    expected: list[tuple[str, float]] = []
    for text, weight in naive(prompt):
        expected += [(letter, weight) for letter in text]
    letters = [
        (letter, piece.weight) for piece in found if isinstance(piece, Segment) for letter in piece.text
    ]
    assert [letter for letter, _ in letters] == [letter for letter, _ in expected]
    assert [weight for _, weight in letters] == pytest.approx([weight for _, weight in expected], rel=1e-9)


def naive(prompt: str) -> list[tuple[str, float]]:
    """Each bracket, once it closes, multiplies all that it holds; no breaks."""
    found: list[tuple[str, float]] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}

    def multiply(start: int, factor: float) -> None:
        found[start:] = [(text, weight * factor) for text, weight in found[start:]]

    at = 0
    while at < len(prompt):
        sign = prompt[at]
        weight = re.compile(r":\s*([+-]?[.\d]+)\s*\)").match(prompt, at)
        if sign == "\\" and prompt[at + 1 : at + 2] in {*"()[]\\"} - {""}:
            found.append((prompt[at + 1], 1.0))
            at += 1
        elif sign in opened:
            opened[sign].append(len(found))
        elif weight and opened["("]:
            multiply(opened["("].pop(), float(weight[1]))
            at = weight.end() - 1
        elif sign == ")" and opened["("]:
            multiply(opened["("].pop(), 1.1)
        elif sign == "]" and opened["["]:
            multiply(opened["["].pop(), 1 / 1.1)
        elif sign != "\\":
            found.append((sign, 1.0))
        at += 1
    for start in opened["("]:
        multiply(start, 1.1)
    for start in opened["["]:
        multiply(start, 1 / 1.1)
    return found


@given(st.text(max_size=60))
def test_escaped_text_reads_as_itself(text: str) -> None:
    escaped = re.sub(r"([()\[\]\\])", r"\\\1", text)
    if re.search(r"\bBREAK\b", text):
        return
    assert weights(escaped) == ([(text, 1.0)] if text else [])
