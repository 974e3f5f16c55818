"""Regular expressions from users, with limits for their length and the time of a search."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from engine.errors import NodeError

MOST_PATTERN = 200
"""The most characters of a regex."""
MOST_GROUPS = 8
"""The most groups in a regex; its memory use can double with each one."""
SECONDS = 0.5
"""The time limit in seconds for a regex on one text."""


class Pattern:
    """A regular expression with the syntax of `re`, whose searches end after half a second.

    Args:
        pattern: the expression.
        input: the input that holds it, for error messages.

    Raises:
        NodeError: it has more than 200 characters or 8 groups, or is not a regular expression.
    """

    def __init__(self, pattern: str, input: str) -> None:
        import regex  # compatible with `re`, with a timeout

        self._input = input
        if len(pattern) > MOST_PATTERN or pattern.count("(") > MOST_GROUPS:
            message = f"the regex is too long: at most {MOST_PATTERN} characters and {MOST_GROUPS} groups"
            hint = "use a shorter expression, such as \\w+"
            raise NodeError(message, hint=hint, input=input, code="bad_regex")
        with self._limited(""):
            re.compile(pattern)  # rejects features of `regex` that `re` lacks, such as recursion
            self._compiled: Any = regex.compile(pattern)

    def matches(self, text: str) -> list[str]:
        """Return all matches in a text.

        Raises:
            NodeError: the search takes longer than half a second.
        """
        with self._limited(text):
            return [match[0] for match in self._compiled.finditer(text, timeout=SECONDS)]

    def replaced(self, text: str, replacement: str) -> str:
        """The text with all matches replaced; `\\1` in the replacement is the first group.

        Raises:
            NodeError: the search takes longer than half a second, or the replacement cannot be used.
        """
        with self._limited(text):
            found: str = self._compiled.sub(replacement, text, timeout=SECONDS)
            return found

    @contextmanager
    def _limited(self, text: str) -> Iterator[None]:
        """Within the block, convert errors and timeouts of the regex to `NodeError`s."""
        import regex

        try:
            yield
        except TimeoutError:
            raise NodeError(
                f"the regex did not finish within {SECONDS:g} s on {text[:80]!r}",
                hint="avoid repeats inside repeats, such as (a+)+; \\w+ finds words",
                input=self._input,
                code="slow_regex",
            ) from None
        except (re.error, regex.error, OverflowError, IndexError) as error:
            message = f"the regex cannot be used: {error}"
            raise NodeError(message, input=self._input, code="bad_regex") from None
