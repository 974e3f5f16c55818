"""Scheduling and alternation: A1111's documented readings, and a naive reader of the same grammar."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nodes.sd.prompts import dialects
from nodes.sd.prompts.alternatives import Alternatives
from nodes.sd.prompts.excerpt import Excerpt, PromptError


def readings(prompt: str, steps: int) -> list[str]:
    """What is read at each step."""
    timeline, texts = Alternatives(Excerpt(prompt)).texts()
    return [texts[timeline.at(step, steps)].text for step in range(steps)]


def changes(prompt: str, steps: int = 10) -> list[tuple[int, str]]:
    """Each text with the last step, counted from 1, of its stretch."""
    found: list[tuple[int, str]] = []
    for step, text in enumerate(readings(prompt, steps), start=1):
        if found and found[-1][1] == text:
            found.pop()
        found.append((step, text))
    return found


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("test", [(10, "test")]),
        ("a [b:3]", [(3, "a "), (10, "a b")]),
        ("a [b: 3]", [(3, "a "), (10, "a b")]),
        ("a [[[b]]:2]", [(2, "a "), (10, "a [[b]]")]),
        ("[(a:2):3]", [(3, ""), (10, "(a:2)")]),
        ("a [b : c : 1] d", [(1, "a b  d"), (10, "a  c  d")]),
        ("a[b:[c:d:2]:1]e", [(1, "abe"), (2, "ace"), (10, "ade")]),
        ("a [unbalanced", [(10, "a [unbalanced")]),
        ("a [b:.5] c", [(5, "a  c"), (10, "a b c")]),
        ("a [{b|d{:.5] c", [(10, "a [{b|d{:.5] c")]),
        ("((a][:b:c [d:3]", [(3, "((a][:b:c "), (10, "((a][:b:c d")]),
        ("[fe|]male", [(step, ("female", "male")[step % 2 == 0]) for step in range(1, 11)]),
        ("[a|b|c]", [(step, "abc"[(step - 1) % 3]) for step in range(1, 11)]),
        ("[a::3]", [(3, "a"), (10, "")]),
        ("[a:b:c:0.5]", [(10, "[a:b:c:0.5]")]),
        ("[a::b:0.5]", [(10, "[a::b:0.5]")]),
        ("[a:b:1]", [(1, "a"), (10, "b")]),
        ("[a:b:1.0]", [(10, "a")]),
        ("[a:b:0]", [(10, "b")]),
        ("[a:b:-3]", [(10, "b")]),
        ("[a:b:0.0]", [(10, "b")]),
        ("[a:b:99]", [(10, "a")]),
        ("[a:b:0.05]", [(10, "b")]),
        ("[a:b:1e999]", [(10, "a")]),
        ("a | [b:c:3]", [(10, "a | [b:c:3]")]),
        ("a ] b : ( [b:c:3]", [(3, "a ] b : ( b"), (10, "a ] b : ( c")]),
        (r"\[a:b:3]", [(10, r"\[a:b:3]")]),
        (r"[a\:x:b\]:3]", [(3, r"a\:x"), (10, r"b\]")]),
    ],
)
def test_a_prompt_changes_as_a1111_documents_it(prompt: str, expected: list[tuple[int, str]]) -> None:
    assert changes(prompt) == expected


def test_a_fraction_is_of_the_steps_and_a_number_is_not() -> None:
    assert changes("[a:b:0.3] [c:d:7]", 10) == [(3, "a c"), (7, "b c"), (10, "b d")]
    assert changes("[a:b:0.3] [c:d:7]", 100) == [(7, "a c"), (30, "a d"), (100, "b d")]
    assert changes("[a:b:0.29]", 100)[0] == (28, "a")  # int(0.29 * 100), as A1111 computes it


def test_a_sign_that_switches_all_changes_off_is_known_with_its_place() -> None:
    assert Alternatives(Excerpt("a | [b:c:3]")).stray == 2
    assert Alternatives(Excerpt("a | b")).stray is None  # nothing to switch off
    assert Alternatives(Excerpt("[a|b]")).stray is None


def test_a_prompt_that_changes_too_often_is_refused() -> None:
    many = " ".join(f"[a:b:{step}]" for step in range(1, 300))
    for prompt in (many, "[" + "|" * 300 + "]", "[a|b|c][a|b|c|d|e][||||||][|||||||||||]"):
        with pytest.raises(PromptError, match="more than 256 different texts"):
            Alternatives(Excerpt(prompt)).texts()


def test_a_prompt_that_is_long_in_many_ways_is_refused() -> None:
    with pytest.raises(PromptError, match="more than 200,000 characters"):
        dialects.read(") " * 19_000 + "[" + "a|" * 250 + "]")
    assert len(dialects.read(") " * 19_000).parts) == 1
    with pytest.raises(PromptError, match="more than 256 different texts"):
        dialects.read("a AND " * 300)


@given(st.text(alphabet="[]()|:ab1.5 \\", max_size=24), st.integers(1, 12))
@example("[[a:b:0.5]:[c|d]:5]", 11)
@example("([a|b]:[c:2])", 4)
def test_alternatives_match_a_naive_parser(prompt: str, steps: int) -> None:
    try:
        found = readings(prompt, steps)
    except PromptError:
        return
    assert found == [naive(prompt, step, steps) for step in range(1, steps + 1)]


NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)\s*")


def naive(prompt: str, step: int, steps: int) -> str:
    """One step's text: any whole bracket without brackets inside is replaced, until none is left.

    What is settled is hidden behind characters that mean nothing, so that it is not read again.
    """
    hidden: dict[str, str] = {}

    def hide(text: str) -> str:
        sign = chr(0xE000 + len(hidden))
        hidden[sign] = text
        return sign

    text = re.sub(r"\\.", lambda found: hide(found[0]), prompt, flags=re.DOTALL)
    while True:
        for found in re.finditer(r"\[([^\[\]()]*)\]|\(([^\[\]()]*)\)", text):
            settled = inside(found, step, steps)
            if settled is not None:
                text = text[: found.start()] + hide(settled) + text[found.end() :]
                break
        else:
            break
    if "|" in text:
        return prompt
    while any(sign in hidden for sign in text):
        text = "".join(hidden.get(sign, sign) for sign in text)
    return text


def inside(found: re.Match[str], step: int, steps: int) -> str | None:
    """What a bracket without brackets inside stands for at a step; None if it is no whole one."""
    if found[1] is None:
        whole = "|" not in found[2] and found[2].count(":") <= 1
        return found[0] if whole else None
    signs = "".join(sign for sign in found[1] if sign in ":|")
    if not signs:
        return found[0]
    if set(signs) == {"|"}:
        options = found[1].split("|")
        return options[(step - 1) % len(options)]
    *words, when = found[1].split(":")
    if signs not in {":", "::"} or not NUMBER.fullmatch(when):
        return None
    last = int(float(when) * steps) if "." in when else int(when)
    before, after = words if len(words) == 2 else ("", words[0])
    return before if step <= last else after
