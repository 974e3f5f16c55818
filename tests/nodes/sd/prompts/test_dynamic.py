"""Random choices in prompts: every option comes up as often as its weight says, and a seed fixes them all."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.sd.prompts.dynamic import choose
from nodes.sd.prompts.excerpt import PromptError
from nodes.sd.prompts.styles import add_styles, read_styles

FILES = {"colour": ["red", "green"], "thing": ["a __colour__ mug", "{pen|cup}"], "self": ["x __self__"]}


def chosen(prompt: str, seed: int = 0) -> str:
    return choose(prompt, seed, FILES.__getitem__)


def outcomes(prompt: str, seeds: int = 300) -> Counter[str]:
    return Counter(chosen(prompt, seed) for seed in range(seeds))


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a {red|green} cup", {"a red cup", "a green cup"}),
        ("{a}", {"a"}),
        ("{a|}b", {"ab", "b"}),
        ("{a|{b|c}} d", {"a d", "b d", "c d"}),
        ("{2$$a|b}", {"a, b", "b, a"}),
        ("{2$$ and $$a|b}", {"a and b", "b and a"}),
        ("{1-2$$a|b}", {"a", "b", "a, b", "b, a"}),
        ("{9$$a|b}", {"a, b", "b, a"}),
        ("{0-1$$a|b}", {"", "a", "b"}),
        ("__colour__", {"red", "green"}),
        ("__thing__", {"a red mug", "a green mug", "pen", "cup"}),
        ("{__colour__|blue}", {"red", "green", "blue"}),
        (r"\{a|b\} \|", {"{a|b} |"}),
        ("a | b }{", {"a | b }{"}),
        ("{a|b", {"{a|b"}),
        ("{{a|b}", {"{a", "{b"}),
        (
            "(red:1.2) [a:b:0.5] <lora:x:1> _ __ snake_case",
            {"(red:1.2) [a:b:0.5] <lora:x:1> _ __ snake_case"},
        ),
    ],
)
def test_a_dynamic_prompt_draws_exactly_its_options(prompt: str, expected: set[str]) -> None:
    assert outcomes(prompt).keys() == expected


def test_an_option_comes_up_as_often_as_its_weight_says() -> None:
    drawn = outcomes("{3::a|b|0.5::c|0::d}", 4500)
    assert drawn["d"] == 0
    for option, weight in (("a", 3), ("b", 1), ("c", 0.5)):
        assert drawn[option] == pytest.approx(4500 * weight / 4.5, rel=0.1)


def test_the_same_seed_chooses_the_same_in_every_release_of_python() -> None:
    prompt = "{a|b|c} {1-3$$a|b|c} __thing__ {2$$a|b|c}"
    assert [chosen(prompt, seed) for seed in range(3)] == [chosen(prompt, seed) for seed in range(3)]
    drawn = [chosen("{a|b|c|d}{a|b|c|d}{a|b|c|d}", seed) for seed in (0, 1, 2)]
    assert drawn == ["ddb", "add", "dda"]


@given(st.text(max_size=60), st.integers(0, 2**32))
def test_a_prompt_without_choices_stays_as_it_is(prompt: str, seed: int) -> None:
    plain = prompt.replace("{", "(").replace("\\", "/").replace("_", "-")
    assert chosen(plain, seed) == plain


@pytest.mark.parametrize("prompt", ["__self__", "{" * 50 + "a" + "}" * 50, "x" * 50_000, "{a}" * 12_000])
def test_a_prompt_that_takes_too_much_work_is_refused(prompt: str) -> None:
    with pytest.raises(PromptError):
        chosen(prompt)


def test_styles_are_added_as_a1111_adds_them() -> None:
    text = (
        'name,prompt,negative_prompt\nInk,"ink drawing, {prompt}, wet",blurry\n'
        'Old,"old, faded",\n"",x,y\nInk,"{prompt} in ink","blurry, {prompt}"\n'
    )
    styles = read_styles(text)
    assert list(styles) == ["Ink", "Old"]
    assert add_styles("a mug", [styles["Ink"].prompt, styles["Old"].prompt]) == "a mug in ink, old, faded"
    assert add_styles("", [styles["Old"].prompt]) == "old, faded"
    assert add_styles("bad", [styles["Ink"].negative, styles["Old"].negative]) == "blurry, bad"
    assert read_styles("name,text\nOld,faded\n")["Old"].prompt == "faded"
    with pytest.raises(ValueError, match="name"):
        read_styles("a,b\n1,2\n")
