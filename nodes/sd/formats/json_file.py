"""Reads the JSON files of models strictly: limits their size, refuses repeated keys and infinite numbers."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from engine import strict_json
from engine.errors import GraphError
from nodes.sd.formats.sparse import is_sparse, sparse_message

CONFIG_LIMIT = 1 << 20
"""The greatest size of a config file; real ones have a few kilobytes."""


class ModelError(ValueError):
    """Raised if a model's files cannot be used. The message names the file, the fault and the remedy."""

    code = "bad_model"
    """The stable identifier of the problem."""


class MissingVocabulary(ModelError):
    """Raised for a model that needs T5 if the vocabulary of T5 is missing."""

    code = "missing_vocabulary"


def regular_size(path: Path) -> int:
    """Return the size of a regular file in bytes. Links are followed; devices and pipes are refused.

    Raises:
        ModelError: the file is missing, unreadable, sparse or not a regular file.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise ModelError(f"{path} is missing. Download the model again, or choose another one.") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be opened: {_reason(error)}.") from None
    if not stat.S_ISREG(found.st_mode):
        raise ModelError(f"{path} is not a regular file. Replace it with the model's own file.")
    if is_sparse(found):
        raise ModelError(f"{path} {sparse_message(found)}. Download it again.")
    return found.st_size


def read_text(path: Path, limit: int) -> str:
    """Read a UTF-8 file of at most `limit` bytes.

    Raises:
        ModelError: as `regular_size`, or the file is larger than `limit`, or is not UTF-8.
    """
    size = regular_size(path)
    if size > limit:
        raise ModelError(f"{path} has {size:,} bytes; at most {limit:,} are expected. Download it again.")
    try:
        with path.open("rb") as file:
            return file.read(limit).decode("utf-8")
    except UnicodeDecodeError:
        raise ModelError(f"{path} is not text in UTF-8. Download it again.") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {_reason(error)}.") from None


def read_object(path: Path, limit: int = CONFIG_LIMIT) -> dict[str, Any]:
    """Read the JSON object in a file.

    Raises:
        ModelError: as `read_text`, or the text is not one strict JSON object.
    """
    return parsed_object(read_text(path, limit), str(path))


def parsed_object(text: str, place: str) -> dict[str, Any]:
    """Parse a JSON object; messages name `place` as its origin.

    Raises:
        ModelError: the text is not one strict JSON object.
    """
    try:
        parsed = strict_json.parse(text)
    except GraphError as error:
        raise ModelError(f"{place} cannot be used: {error.problems[0].message}. Download it again.") from None
    if not isinstance(parsed, dict):
        raise ModelError(f"{place} is not a JSON object. Download it again.")
    return parsed


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
