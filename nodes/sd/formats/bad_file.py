"""What is wrong with a file, in words and as a code."""

from __future__ import annotations

from nodes.sd.json_file import ModelError


class BadFileError(ModelError):
    """A file cannot be read, or will not be.

    Args:
        code: a stable word for programs, such as `unsafe_pickle`.
        message: a sentence that names the file, and what would help.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
