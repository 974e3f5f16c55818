"""The user's secrets, such as API keys: graphs contain their names, and nodes read their values."""

from __future__ import annotations

import os
import re
from dataclasses import replace

from engine.errors import NodeError, Problem

PREFIX = "SAFELIGHT_SECRET_"
"""The environment variable of a secret is named by this prefix and the secret's name in capitals."""
SHORTEST = 8
"""The minimum length of a value. Hiding a shorter value would also change unrelated texts."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")

_read: dict[str, str] = {}
"""The secrets that were read in this process: their names keyed by their values."""


def secret_value(name: str) -> str:
    """Read the value of a secret from its environment variable.

    Raises:
        NodeError: the name is invalid (`bad_name`), the variable is not set (`missing_secret`), or its value
            is too short (`bad_secret`).
    """
    if not _NAME.fullmatch(name):
        raise NodeError(
            "the name of a secret has letters, digits and _, and begins with a letter",
            hint="write the name of the secret here, never its value",
            code="bad_name",
        )
    variable = PREFIX + name.upper()
    value = os.environ.get(variable)
    if not value:
        hint = f"set the environment variable {variable} before Safelight starts"
        raise NodeError(f"there is no secret {name}", hint=hint, code="missing_secret")
    if len(value) < SHORTEST:
        message = f"the value of the secret {name} is shorter than {SHORTEST} characters"
        raise NodeError(message, hint=f"check {variable}", code="bad_secret")
    _read[value] = name
    return value


def hidden(text: str) -> str:
    """Replace the value of each secret that was read in this process by `<secret NAME>` in a text of a node.

    An unpaired surrogate, which no file or message in UTF-8 can hold, becomes its escape `\\ud800`.
    """
    for value, name in _read.items():
        text = text.replace(value, f"<secret {name}>")
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def hidden_problem(problem: Problem) -> Problem:
    """Apply `hidden` to a problem's message and hint."""
    hint = None if problem.hint is None else hidden(problem.hint)
    return replace(problem, message=hidden(problem.message), hint=hint)
