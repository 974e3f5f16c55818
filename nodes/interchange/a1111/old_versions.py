"""Converts syntax that older versions of A1111 read differently, by the `Version` field of a text."""

from __future__ import annotations

import re

from nodes.sd.prompts.alternatives import Alternatives
from nodes.sd.prompts.excerpt import Excerpt

_VERSION = re.compile(r"v?1\.([0-9]{1,3})\b")
_STEP_WITH_POINT = re.compile(r"(:\s*)([0-9]{1,9})\.[0-9]*(\s*\])")


def minor_version(version: str) -> int | None:
    """Return the minor version of A1111, 6 for `v1.6.0`; None for another program or no version."""
    match = _VERSION.match(version)
    return None if match is None else int(match[1])


def whole_step_numbers(prompt: str) -> str:
    """Convert a prompt from before 1.6 to current syntax: `[red:blue:10.0]` becomes `[red:blue:10]`.

    Before 1.6, a number of 1 or more was a step, with or without a decimal point. Since then, a number with a
    point is a fraction of all steps.
    """
    rewritten = _STEP_WITH_POINT.sub(
        lambda match: match[0] if int(match[2]) == 0 else f"{match[1]}{int(match[2])}{match[3]}", prompt
    )
    makes_text_of_all = Alternatives(Excerpt(rewritten)).stray is not None  # a `|` outside of brackets
    return prompt if makes_text_of_all else rewritten
