"""Templates and tags, by A1111's rules."""

from __future__ import annotations

import random

import pytest

from nodes.sd.fine_tuning.templates import (
    TEMPLATES,
    CaptionChanges,
    filled,
    template_lines,
    unknown_tags,
)


def test_every_built_in_line_has_the_name_and_those_with_filewords_the_caption() -> None:
    for name, lines in TEMPLATES.items():
        assert template_lines("\n".join(lines)) == list(lines)
        assert len(set(lines)) == len(lines)
        assert all(("[filewords]" in line) == ("filewords" in name) for line in lines)


def test_tags_are_replaced_once_and_captions_are_not_read_as_templates() -> None:
    line = "[name] by [artist], [filewords], [year] [nothing]"
    text = filled(line, "x [filewords]", "a [name] (b:1.2)", {"artist": "Ada", "year": 1843})
    assert text == "x [filewords] by Ada, a [name] (b:1.2), 1843 "


def test_blank_lines_are_ignored_and_a_line_without_the_name_is_refused() -> None:
    assert template_lines("\n a [name]  \n\n[name] b\n") == ["a [name]", "[name] b"]
    with pytest.raises(ValueError, match="Line 2"):
        template_lines("[name]\na photo")
    with pytest.raises(ValueError, match="no lines"):
        template_lines("\n \n")


def test_tags_that_no_picture_has_are_named() -> None:
    lines = ["[name] by [artist] [1|2]", "[name] [filewords] [period]"]
    assert unknown_tags(lines, [{"artist": "Ada"}, {}]) == ["period"]


def test_tags_are_dropped_before_they_are_shuffled_and_the_first_stay() -> None:
    rng = random.Random(1)
    caption = "one, two, three, four, five"
    assert CaptionChanges().applied(caption, rng) == caption
    shuffled = {CaptionChanges(shuffle=True, keep=1).applied(caption, rng) for _ in range(60)}
    assert len(shuffled) > 10
    assert all(text.startswith("one,") and sorted(text) == sorted(caption) for text in shuffled)
    assert CaptionChanges(drop=1.0, keep=2).applied(caption, rng) == "one, two"
    lengths = [len(CaptionChanges(drop=0.5).applied(caption, rng).split(",")) for _ in range(400)]
    assert 2 < sum(lengths) / 400 < 3
