"""The exception for pickles that are refused."""

from __future__ import annotations


class RefusedError(Exception):
    """Raised if a pickle contains something that is not permitted, or is damaged.

    Args:
        code: a stable identifier for programs.
        message: the end of a sentence that begins with the file's name, such as `asks for posix.system`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def shown(name: object) -> str:
    """Quote a name from a file for a message, in one line of at most 80 characters."""
    text = repr(name)
    return text if len(text) <= 80 else f"{text[:79]}…"
