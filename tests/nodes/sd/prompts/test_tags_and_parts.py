"""What A1111 cuts out of a prompt, and what AND joins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.sd.prompts import dialects, parts, tags
from nodes.sd.prompts.attention import Segment
from nodes.sd.prompts.dialects import Dialect, Written
from nodes.sd.prompts.excerpt import Excerpt, PromptError
from nodes.sd.prompts.tags import Tag
from tests.nodes.sd.prompts.lines import lines_of


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("<lora:ink>", Tag("lora", "ink", 1.0, 1.0)),
        ("<lora:ink:0.5>", Tag("lora", "ink", 0.5, 0.5)),
        ("<lora:ink:0.5:2>", Tag("lora", "ink", unet=2.0, text=0.5)),
        ("<lora:ink:0.5:2:8>", Tag("lora", "ink", unet=2.0, text=0.5, rank=8)),
        ("<lora:ink:te=0.2:unet=0.3:dyn=4>", Tag("lora", "ink", unet=0.3, text=0.2, rank=4)),
        ("<lora:ink:te=0.2>", Tag("lora", "ink", unet=0.2, text=0.2)),
        ("<lora:ink:-1>", Tag("lora", "ink", -1.0, -1.0)),
        ("<lyco:ink:0.5>", Tag("lora", "ink", 0.5, 0.5)),
        ("<hypernet:moss:0.3>", Tag("hypernet", "moss", 0.3, 0.3)),
        ("<lora:ink:0.5:lbw=OUTD>", Tag("lora", "ink", 0.5, 0.5, blocks="OUTD")),
        ("<lora:ink:0.5:OUTD>", Tag("lora", "ink", 0.5, 0.5, blocks="OUTD")),
        ("<lora:ink:1:0.5:lbw=" + "1," * 16 + "0>", Tag("lora", "ink", 0.5, blocks="1," * 16 + "0")),
    ],
)
def test_a_tag_is_read_and_cut_out(tag: str, expected: Tag) -> None:
    rest, found, warnings = tags.cut(Excerpt(f"a {tag} b"))
    assert (rest.text, found, warnings) == ("a  b", [expected], [])
    assert rest.origin(2) == 2 + len(tag)
    assert tags.cut(Excerpt(str(expected)))[1] == [expected], "written, it reads the same"


@pytest.mark.parametrize("field", ["start=2", "stop=10", "step=0-10"])
def test_a_field_for_some_steps_is_named_with_its_value(field: str) -> None:
    rest, found, (warning,) = tags.cut(Excerpt(f"a <lora:ink:0.8:lbw=OUTD:{field}>"))
    assert (rest.text, found) == ("a ", [Tag("lora", "ink", 0.8, 0.8, blocks="OUTD")])
    assert warning.message == f"{field} in the tag of 'ink' has no effect: the LoRA acts on every step"
    assert warning.at == 2


def test_text_that_is_not_a_tag_stays_and_unknown_tags_give_warnings() -> None:
    rest, found, warnings = tags.cut(Excerpt("<cat-toy> <a:> <LORA:x> <b:c"))
    assert (rest.text, found) == ("<cat-toy> <a:>  <b:c", [])
    (warning,) = warnings
    assert warning.at == 15
    assert "<LORA:" in warning.message


@pytest.mark.parametrize("tag", ["<lora:x:strong>", "<lora:x:nan>", "<hypernet:x:1e999>", "<lora:te=1>"])
def test_a_tag_that_makes_no_sense_is_refused_with_its_place(tag: str) -> None:
    with pytest.raises(PromptError, match="at character 4"):
        tags.cut(Excerpt(f"ab {tag}"))


def test_and_joins_parts_with_their_weights() -> None:
    found = parts.split(Excerpt("a cat :1.2 AND a dog AND a [b:c:2] ANDY :-.5 AND x:1e3"))
    assert [(part.text, weight) for part, weight in found] == [
        ("a cat", 1.2),
        (" a dog", 1.0),
        (" a [b:c:2] ANDY", -0.5),
        (" x:1e3", 1.0),
    ]
    assert found[1][0].origin(1) == 15


def test_a_number_at_the_end_weights_the_whole_prompt_and_is_told() -> None:
    written = dialects.read("aspect 16:9")
    assert written.parts[0].weight == 9
    assert [str(warning) for warning in written.warnings] == [
        "the number at the end gives the whole prompt the weight 9, as in A1111 (character 10)"
    ]


def test_in_a_negative_prompt_and_is_a_word() -> None:
    (part,) = dialects.read("a AND b:2", negative=True).parts
    assert part.weight == 1
    (segment,) = part.texts[0]
    assert isinstance(segment, Segment)
    assert segment.text == "a AND b:2"


@given(st.text(max_size=40), st.data())
def test_a_cut_text_still_knows_where_each_character_stood(prompt: str, data: st.DataObject) -> None:
    whole = Excerpt(prompt)
    for _ in range(3):
        ends = sorted(data.draw(st.lists(st.integers(0, len(whole.text)), max_size=6)))
        whole = whole.keep(zip(ends[::2], ends[1::2], strict=False))
        assert [prompt[whole.origin(at)] for at in range(len(whole.text))] == list(whole.text)


@given(st.text(alphabet="()[]<>|:\\,.+-\"' \nabANDBREAKlora0159", max_size=60))
@pytest.mark.parametrize("dialect", ["a1111", "comfy", "plain"])
def test_reading_never_fails_but_with_a_sentence(dialect: Dialect, prompt: str) -> None:
    written = read_or_refused(prompt, dialect)
    for warning in written.warnings if written else []:
        assert 0 <= warning.at <= len(prompt)


def read_or_refused(prompt: str, dialect: Dialect) -> Written | None:
    """What is read; None after a refusal that is a sentence."""
    refusal: PromptError | None = None
    try:
        return dialects.read(prompt, dialect)
    except PromptError as error:
        refusal = error
    assert str(refusal).endswith(".")
    return None


BOMBS = [
    "(", "[", "((a)", "(a:1.1)", "[a:", "[a|", "a|b", "<lora:", "<a:b>", "\\", ":", ": ", "1", " ", "(a:1",
    "[[a]:2]", "a AND ", ":1 AND", "BREAK ", "] ", ")", "()", "[]", "(a:1.1) [b:c:1] ", "<", '"a"', "a+",
]  # fmt: skip


@pytest.mark.parametrize("dialect", ["a1111", "comfy", "plain"])
@pytest.mark.parametrize("bomb", BOMBS)
def test_the_work_grows_with_the_length_and_no_faster(dialect: Dialect, bomb: str) -> None:
    short = lines_of(lambda: read_or_refused(bomb * 100, dialect))
    long = lines_of(lambda: read_or_refused(bomb * 400, dialect))
    assert long <= 4.4 * short + 1000
    read_or_refused(bomb * (dialects.LONGEST // len(bomb)), dialect)


def test_a_prompt_longer_than_any_is_refused() -> None:
    with pytest.raises(PromptError, match="40,001 characters"):
        dialects.read("x" * (dialects.LONGEST + 1))


def test_comments_end_with_their_line() -> None:
    written = dialects.read("a cat # on a <lora:mat:1>\nin a hat # | AND", comments=True)
    (part,) = written.parts
    words = "".join(piece.text for piece in part.texts[0] if isinstance(piece, Segment))
    assert words.split() == "a cat in a hat".split()
    assert written.tags == []
    assert [tag.name for tag in dialects.read("a # <lora:mat:1>").tags] == ["mat"]
