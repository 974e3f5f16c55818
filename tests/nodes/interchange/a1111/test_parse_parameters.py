"""The grammar of A1111's texts, against the pattern by which the tool itself reads its fields."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import GraphError
from nodes.interchange.a1111 import parse_parameters

FIELD = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def by_pattern(line: str) -> dict[str, str]:
    return {name: plain(value) for name, value in FIELD.findall(line)}


def plain(value: str) -> str:
    if value[:1] != '"' or value[-1:] != '"' or len(value) < 3:
        return value.strip()
    try:
        return str(json.loads(value, strict=False))
    except ValueError:
        return value[1:-1]


WORDS = st.sampled_from(
    ["Steps", "Size", "Lora hashes", "a/b-c", "é", "x", ":", ",", " ", '"', '\\"', "\\", "1"]
)


@given(st.lists(WORDS, max_size=30).map("".join))
def test_fields_are_those_of_the_pattern(line: str) -> None:
    line = line.strip()
    expected = by_pattern(line)
    if len(FIELD.findall(line)) >= 3:
        assert parse_parameters.parse(line).fields == expected
    else:
        assert parse_parameters.parse(line).fields == {}


def test_prompt_negative_and_fields() -> None:
    said = parse_parameters.parse(
        "a cat,\r\n(fluffy:1.2)\r\nNegative prompt: blurry\r\nbad: hands\r\n"
        'Steps: 20, Sampler: Euler a, Hires prompt: "one, two: \\"three\\"\\nfour", Size: 512x768'
    )
    assert said.prompt == "a cat,\n(fluffy:1.2)"
    assert said.negative == "blurry\nbad: hands"
    assert said.fields == {
        "Steps": "20",
        "Sampler": "Euler a",
        "Hires prompt": 'one, two: "three"\nfour',
        "Size": "512x768",
    }


def test_a_last_line_with_few_fields_is_prompt() -> None:
    said = parse_parameters.parse("note: a cat, style: oil")
    assert (said.prompt, said.fields) == ("note: a cat, style: oil", {})


def test_lines_after_the_fields_are_not_prompt() -> None:
    said = parse_parameters.parse("a cat\nSteps: 20, Sampler: Euler, Seed: 1\nTemplate: a {cat|dog}")
    assert (said.prompt, said.fields["Seed"]) == ("a cat", "1")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("two\nlines", "two\nlines"),
        ('"two\nlines, and: more"', "two\nlines, and: more"),
        ("two\nlines without a comma", "two\nlines without a comma"),
    ],
)
def test_a_line_break_in_a_value_keeps_the_other_fields(value: str, read: str) -> None:
    said = parse_parameters.parse(
        f"a cat\nSteps: 20, Sampler: Euler, Note: {value}, Seed: 1, Size: 512x768, Model: dream, Clip skip: 2"
    )
    assert said.prompt == "a cat"
    assert said.fields == {
        "Steps": "20",
        "Sampler": "Euler",
        "Note": read,
        "Seed": "1",
        "Size": "512x768",
        "Model": "dream",
        "Clip skip": "2",
    }


def test_a_field_on_a_line_of_its_own_ends_the_value_before() -> None:
    text = "a cat\nSteps: 20, Sampler: Euler, Seed: 1\nTemplate: a dog, Size: 8x8"
    fields = parse_parameters.parse(text).fields
    assert fields == {"Steps": "20", "Sampler": "Euler", "Seed": "1", "Template": "a dog", "Size": "8x8"}


def test_json_without_quotes_is_one_value() -> None:
    hashes = {"model": "6ce0161689", "lora:ink": "aabbccddee"}
    line = f"Steps: 20, Sampler: Euler, Hashes: {json.dumps(hashes)}, Seed: 5, Clip skip: 2"
    fields = parse_parameters.parse(line).fields
    assert json.loads(fields["Hashes"]) == hashes
    assert (fields["Seed"], fields["Clip skip"]) == ("5", "2")
    assert by_pattern(line).keys() != fields.keys(), "the tool's own reader takes its parts for fields"


class Counted(str):
    """Text that counts the characters that are looked at."""

    looked = 0

    def __getitem__(self, place: Any) -> str:
        found = super().__getitem__(place)
        self.looked += max(len(found), 1)
        return found

    def find(self, what: str, start: Any = 0, end: Any = None) -> int:
        found = super().find(what, start, end)
        last = len(self) if end is None else end
        self.looked += (last if found < 0 else found) - start + 1
        return found


BOMBS = ["a", "a:", 'aa: "', 'aa: "\\', "Hashes: {", "a b-/", 'aa: "a"b', "-:", 'aa: "",']


@pytest.mark.parametrize("bomb", BOMBS)
def test_the_work_grows_with_the_length_alone(bomb: str) -> None:
    line = Counted(bomb * (20_000 // len(bomb)))
    list(parse_parameters._fields(line))
    assert line.looked < 8 * len(line)


def test_a_text_of_more_than_a_megabyte_is_refused() -> None:
    with pytest.raises(GraphError, match="the limit is"):
        parse_parameters.parse("a" * (parse_parameters.MAX_CHARACTERS + 1))
