"""Captions out of file names, by A1111's rule, and out of JSONL files."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from engine.errors import NodeError
from nodes.picture_sets.captions import read_caption_lines, words_of_name


@pytest.mark.parametrize(
    ("name", "pattern", "between", "words"),
    [
        ("000001-1-a man in suit.png", "", " ", "a man in suit"),
        ("000001-1-a man in suit.png", r"\w+", ", ", "a, man, in, suit"),
        ("a man in suit.png", "", " ", "a man in suit"),
        ("3 men-at-work 7.jpeg", "", " ", "men-at-work 7"),
        ("cats/2024-01 a.b.c.png", "", " ", "a.b.c"),
        ("0001.png", "", " ", ""),
        ("0001.png", r"\w+", " ", ""),
        ("red_car.png", r"[a-z]+", " ", "red car"),
        ("red_car.png", r"(r)(e)d", " ", "red"),
    ],
)
def test_a_name_becomes_words(name: str, pattern: str, between: str, words: str) -> None:
    assert words_of_name(name, pattern, between) == words


@pytest.mark.parametrize("name", ["000001-1-a man.png", "-7 b.png", "x-1.png", "12ab.png"])
def test_the_rule_is_the_expression_of_a1111(name: str) -> None:
    assert words_of_name(name) == re.sub(r"^[-\d]+\s*", "", name.removesuffix(".png"))


@pytest.mark.parametrize(
    ("pattern", "code"),
    [
        ("(a|aa)+$", "slow_regex"),
        ("[a", "bad_regex"),
        ("(?R)", "bad_regex"),
        ("(" * 20 + "a" + "+)" * 20, "bad_regex"),
        ("a" * 201, "bad_regex"),
    ],
)
def test_a_regex_that_cannot_be_used_is_refused_soon(pattern: str, code: str) -> None:
    begun = time.monotonic()
    with pytest.raises(NodeError) as caught:
        words_of_name("a" * 60 + "b.png", pattern)
    assert caught.value.code == code
    assert caught.value.input == "word_regex"
    assert time.monotonic() - begun < 5


def test_lines_have_a_name_a_caption_and_free_columns(tmp_path: Path) -> None:
    path = tmp_path / "metadata.jsonl"
    path.write_text(
        '{"file_name": "1.png", "text": "a cat", "artist": "Ada", "year": 1843}\n\n'
        '{"image": "sub\\\\2.png", "caption": ""}\n{"file": "3.png", "period": "late"}\n'
    )
    lines = read_caption_lines(path)
    assert lines["1.png"] == ("a cat", {"artist": "Ada", "year": 1843})
    assert lines["sub/2.png"] == ("", {})
    assert lines["3.png"] == (None, {"period": "late"})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not JSON"),
        ('{"text": "a"}', "file_name"),
        ("[1]", "file_name"),
        ('{"file_name": "1.png", "text": 7}', "not text"),
        ('{"file_name": "0.png"}', "repeats"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "metadata.jsonl"
    path.write_text('{"file_name": "0.png", "text": "a"}\n' + line)
    with pytest.raises(NodeError, match=f"line 2: .*{words}") as caught:
        read_caption_lines(path)
    assert caught.value.code == "bad_jsonl"
