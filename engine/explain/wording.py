"""Wording of differences, for the reasons of a plan and the diff of two graphs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.files import KEPT
from engine.values import Json, canonical

SHOWN = 24
"""Longer values, in characters, are not quoted in a sentence."""

_COPY = re.compile(rf"{KEPT}/(.+)-[0-9a-f]{{16}}(\.\w+)?")


def listed(names: Sequence[str], last: str = " and ") -> str:
    """Join names for a sentence; of more than three names, only the first two: `a, b and 5 more`."""
    if len(names) > 3:
        names = [*names[:2], f"{len(names) - 2} more"]
    return ", ".join(names[:-1]) + (last if len(names) > 1 else "") + "".join(names[-1:])


def changed_value(name: str, now: Json, was: Json) -> str:
    """Describe a changed value: `seed is 7, was 3`; `prompt changed` if it is long or has several words."""
    shown, before = _shown(now), _shown(was)
    return f"{name} is {shown}, was {before}" if shown and before else f"{name} changed"


def _shown(value: Json) -> str:
    text = f"`{value}`" if isinstance(value, str) else canonical(value).decode()
    return "" if len(text) > SHOWN or any(map(str.isspace, text)) else text


def changed_type(name: str, version: int | None, name_was: str, version_was: int | None) -> str:
    """Describe a changed type: `Denoise is now version 2`, `Blur replaces Sharpen`; empty if unchanged."""
    if name != name_was:
        return f"{name} replaces {name_was}"
    return f"{name} is now version {version or 'the newest'}" if version != version_was else ""


def always(type_name: str) -> str:
    """Return the reason for a step with side effects, which always runs."""
    return f"{type_name} has side effects, so it always runs"


def file_name(path: Json) -> str:
    """Return the name of a file without its folders, and without the digest if it is a staged copy."""
    copy = _COPY.fullmatch(str(path))
    return copy[1] + (copy[2] or "") if copy else re.split(r"[/\\]", str(path))[-1]
