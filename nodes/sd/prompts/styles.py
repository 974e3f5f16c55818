"""A1111's styles: named texts from `styles.csv` that are added to a prompt and a negative prompt."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

_COLUMNS = ("name", "prompt", "negative_prompt")
_PLACE = "{prompt}"


class Style(NamedTuple):
    """One line of a styles file."""

    prompt: str
    """Text to add to the prompt. If it contains `{prompt}`, the prompt is put there."""
    negative: str
    """Text to add to the negative prompt, likewise."""


def read_styles(text: str) -> dict[str, Style]:
    """Read the styles of a `styles.csv`, by name.

    Files of A1111 before 1.0, which have a `text` column instead of `prompt`, are read, too. Of two styles
    with the same name, the later one is used, as in A1111.

    Raises:
        ValueError: the text is not CSV, or has no `name` column.
    """
    try:
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise ValueError(f"is not a CSV file: {error}") from None
    columns = [column.strip() for column in rows[0]] if rows else []
    if "name" not in columns:
        raise ValueError(f"has no column `name`; its first line must be {','.join(_COLUMNS)}")
    styles: dict[str, Style] = {}
    for row in rows[1:]:
        fields = dict(zip(columns, row, strict=False))
        if name := fields.get("name", "").strip():
            styles[name] = Style(
                fields.get("prompt", fields.get("text", "")), fields.get("negative_prompt", "")
            )
    return styles


def add_styles(prompt: str, styles: Sequence[str]) -> str:
    """Add the texts of styles to a prompt, one after another, as A1111 does.

    A style with `{prompt}` is put around the prompt; any other is appended after a comma.
    """
    for style in styles:
        if _PLACE in style:
            prompt = style.replace(_PLACE, prompt)
        else:
            parts = filter(None, (prompt.strip(), style.strip()))
            prompt = ", ".join(parts)
    return prompt
