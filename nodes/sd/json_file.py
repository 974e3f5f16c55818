"""JSON files from strangers, read strictly: sizes bounded, nothing ambiguous let through."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from engine import strict_json
from engine.errors import GraphError

CONFIG_LIMIT = 1 << 20
"""No model's config comes near a mebibyte."""


class ModelError(ValueError):
    """A model's files cannot be used; the message names the file, what is wrong and what would help."""


def regular_size(path: Path) -> int:
    """The size in bytes of an ordinary file; links are followed, devices and pipes are refused.

    Raises:
        ModelError: the file is missing, unreadable, caught in a loop of links, or not an ordinary file.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise ModelError(f"{path} is missing. Download the model's folder again, or pick another.") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be opened: {_reason(error)}.") from None
    if not stat.S_ISREG(found.st_mode):
        raise ModelError(f"{path} is not an ordinary file. Put the model's own file in its place.")
    return found.st_size


def read_text(path: Path, limit: int) -> str:
    """The text of a UTF-8 file of at most `limit` bytes.

    Raises:
        ModelError: as `regular_size`, or the file is larger than `limit`, or is not UTF-8.
    """
    size = regular_size(path)
    if size > limit:
        raise ModelError(
            f"{path} holds {size:,} bytes where at most {limit:,} make sense. Download it again."
        )
    try:
        with path.open("rb") as file:
            return file.read(limit).decode("utf-8")
    except UnicodeDecodeError:
        raise ModelError(f"{path} is not text in UTF-8. Download it again.") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {_reason(error)}.") from None


def read_object(path: Path, limit: int = CONFIG_LIMIT) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        ModelError: as `read_text`, or the text is not one strict JSON object.
    """
    return parse_object(read_text(path, limit), str(path))


def parse_object(text: str, place: str) -> dict[str, Any]:
    """One JSON object out of its text; `place` says in messages where the text came from.

    Raises:
        ModelError: the text is not an object of strict JSON (no key twice, only finite numbers).
    """
    try:
        read = strict_json.parse(text)
    except GraphError as error:
        raise ModelError(f"{place} cannot be used: {error.problems[0].message}. Download it again.") from None
    if not isinstance(read, dict):
        raise ModelError(f"{place} is not a JSON object. Download it again.")
    return read


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
