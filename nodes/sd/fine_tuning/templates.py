"""Templates: the prompts that an embedding is trained with, one per line."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

TemplateName = Literal["subject", "subject_filewords", "style", "style_filewords", "filewords", "name"]

_SUBJECT = (
    "a photo of [name]",
    "a picture of [name]",
    "an image showing [name]",
    "a close view of [name]",
    "[name] seen from afar",
    "a drawing of [name]",
    "a good picture of one [name]",
    "a small picture of [name]",
    "a clear view of [name]",
    "[name] in the middle of the picture",
    "a plain picture of the [name]",
    "my [name]",
)
_STYLE = (
    "a picture in the style of [name]",
    "a painting made in the style of [name]",
    "art in the style of [name]",
    "a drawing in the manner of [name]",
    "a scene as [name] shows it",
    "a colourful picture in the style of [name]",
    "a dark picture in the style of [name]",
    "a small study in the style of [name]",
    "a detailed work in the style of [name]",
    "a simple sketch in the style of [name]",
)

TEMPLATES: Mapping[TemplateName, tuple[str, ...]] = {
    "subject": _SUBJECT,
    "subject_filewords": tuple(f"{line}, [filewords]" for line in _SUBJECT),
    "style": _STYLE,
    "style_filewords": tuple(
        line.replace("a picture in", "a picture of [filewords] in")
        if line.startswith("a picture in")
        else f"[filewords], {line}"
        for line in _STYLE
    ),
    "filewords": ("[name], [filewords]",),
    "name": ("[name]",),
}
"""The built-in templates. `[name]` is the embedding, `[filewords]` the caption of the picture."""

_TAG = re.compile(r"\[([^\W\d]\w*)\]")


@dataclass(frozen=True)
class CaptionChanges:
    """Random changes of a caption's tags, which are separated by commas."""

    shuffle: bool = False
    drop: float = 0.0
    """The probability of leaving out each tag, from 0 to 1."""
    keep: int = 0
    """The number of tags at the beginning that stay in place."""

    def applied(self, caption: str, rng: random.Random) -> str:
        """Drop random tags of a caption, and shuffle the others, as the settings say.

        No random numbers are drawn if both are off.
        """
        if not self.shuffle and not self.drop:
            return caption
        tags = caption.split(",")
        first, rest = tags[: self.keep], tags[self.keep :]
        if self.drop:
            rest = [tag for tag in rest if rng.random() >= self.drop]
        if self.shuffle:
            rng.shuffle(rest)
        return ",".join([*first, *rest])


def template_lines(text: str, required: str = "[name]") -> list[str]:
    """Split a template into its lines. Blank lines are ignored.

    Args:
        text: the template.
        required: the tag that every line must contain; empty for none.

    Raises:
        ValueError: there are no lines, or a line lacks the required tag.
    """
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    if not lines:
        raise ValueError("The template has no lines.")
    for number, line in enumerate(lines, 1):
        if required not in line:
            raise ValueError(f"Line {number} of the template, {line[:60]!r}, has no {required}.")
    return lines


def unknown_tags(lines: Sequence[str], columns: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the tags of a template that are neither `name` nor `filewords` nor a column of any picture.

    Args:
        lines: the lines of the template.
        columns: the columns of each picture.
    """
    tags = dict.fromkeys(tag for line in lines for tag in _TAG.findall(line))
    known = {"name", "filewords"}.union(set[str]().union(*columns) if columns else set())
    return [tag for tag in tags if tag not in known]


def filled(line: str, name: str, caption: str, columns: Mapping[str, Any]) -> str:
    """Fill in a line of a template. A tag for a column that the picture does not have is removed."""
    values = {**columns, "name": name, "filewords": caption}

    def value(match: re.Match[str]) -> str:
        found = values.get(match[1], "")
        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)

    return _TAG.sub(value, line)
