"""Why a pickle is not read."""

from __future__ import annotations


class RefusedError(Exception):
    """A file asks for what is not done, or is damaged.

    Args:
        code: a stable word for programs.
        message: one sentence that follows the file's name, such as `asks for posix.system at byte 12`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def shown(name: object) -> str:
    """A stranger's name in a sentence: quoted, one line, 80 characters at most."""
    text = repr(name)
    return text if len(text) <= 80 else f"{text[:79]}…"
