"""How differences are said: the same words for a plan's reasons and for the diff of two graphs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.files import KEPT
from engine.values import Json, canonical

SHOWN = 24
"""Values that take more letters than this are not written out within a sentence."""

_COPY = re.compile(rf"{KEPT}/(.+)-[0-9a-f]{{16}}(\.\w+)?")


def listed(names: Sequence[str], last: str = " and ") -> str:
    """Names in a row, of more than three the first two: `a, b and 5 more`."""
    if len(names) > 3:
        names = [*names[:2], f"{len(names) - 2} more"]
    return ", ".join(names[:-1]) + (last if len(names) > 1 else "") + "".join(names[-1:])


def changed_value(name: str, now: Json, was: Json) -> str:
    """`seed is 7, was 3`; of values that are long, or text of several words, only that they changed."""
    shown, before = _shown(now), _shown(was)
    return f"{name} is {shown}, was {before}" if shown and before else f"{name} changed"


def _shown(value: Json) -> str:
    text = f"`{value}`" if isinstance(value, str) else canonical(value).decode()
    return "" if len(text) > SHOWN or any(map(str.isspace, text)) else text


def changed_type(name: str, version: int | None, name_was: str, version_was: int | None) -> str:
    """`Denoise is now version 2`, or `Blur in place of Sharpen`; nothing if it is the same type."""
    if name != name_was:
        return f"{name} in place of {name_was}"
    return f"{name} is now version {version or 'the newest'}" if version != version_was else ""


def file_name(path: Json) -> str:
    """A file as people call it: without its folders, and without the digest of a copy."""
    copy = _COPY.fullmatch(str(path))
    return copy[1] + (copy[2] or "") if copy else re.split(r"[/\\]", str(path))[-1]
