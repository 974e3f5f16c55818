"""Reads captions of pictures from JSONL files and from file names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from engine import strict_json
from engine.errors import GraphError, NodeError
from engine.values import Json
from nodes.files.text_files import read_text
from nodes.picture_sets.patterns import Pattern

_LEADING = re.compile(r"[-0-9]+\s*")
_FILE_COLUMNS = ("file_name", "file", "image", "path")
_CAPTION_COLUMNS = ("text", "caption", "prompt")


def words_of_name(name: str, pattern: str = "", between: str = " ") -> str:
    """Make a caption from the name of a picture, by A1111's rule.

    The suffix and leading digits and dashes are removed. If there is a pattern, its matches are joined:
    `000001-1-a man in suit.png` is `a man in suit`, and with `\\w+` and `, ` it is `a, man, in, suit`.

    Args:
        name: the name of the file, which may have folders.
        pattern: a regular expression; empty for none.
        between: the text between two matches.

    Raises:
        NodeError: the pattern has more than 200 characters or 8 groups, is not a regular expression, or takes
            longer than half a second.
    """
    text = PurePosixPath(name).stem
    leading = _LEADING.match(text)
    text = text[leading.end() :] if leading else text
    return between.join(Pattern(pattern, "word_regex").matches(text)) if pattern else text


class CaptionLine(NamedTuple):
    """The caption and columns of one line of a JSONL file."""

    caption: str | None
    columns: Mapping[str, Json]


def read_caption_lines(path: Path) -> dict[str, CaptionLine]:
    """Read a JSONL file in the format of Hugging Face; returns its lines by the name of the picture.

    A line is an object such as `{"file_name": "cats/1.png", "text": "a cat", "artist": "Ada"}`. The name may
    also stand under `file`, `image` or `path`, and the caption under `caption` or `prompt`; all other fields
    are free columns.

    Raises:
        NodeError: the file cannot be read, or a line is not such an object or repeats a name; the message has
            the number of the line.
    """
    lines: dict[str, CaptionLine] = {}
    for number, line in enumerate(read_text(path, input="folder").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = strict_json.parse(line)
        except GraphError as error:
            raise _bad_line(path, number, error.problems[0].message) from None
        name = _taken(row, _FILE_COLUMNS) if isinstance(row, dict) else None
        if not isinstance(name, str) or not name:
            raise _bad_line(path, number, "it has no text `file_name`")
        name = str(PurePosixPath(name.replace("\\", "/")))
        caption = _taken(row, _CAPTION_COLUMNS)
        if caption is not None and not isinstance(caption, str):
            raise _bad_line(path, number, "its caption is not text")
        if name in lines:
            raise _bad_line(path, number, f"it repeats the picture {name!r}")
        lines[name] = CaptionLine(caption, row)
    return lines


def _taken(row: dict[str, Any], names: tuple[str, ...]) -> Any:
    """Remove the first of the given fields from a row; returns its value, or None if the row has none."""
    return next((row.pop(name) for name in names if name in row), None)


def _bad_line(path: Path, number: int, why: str) -> NodeError:
    hint = 'write {"file_name": "1.png", "text": "a caption"}, one object per line'
    return NodeError(f"{path.name}, line {number}: {why}", hint=hint, input="folder", code="bad_jsonl")
