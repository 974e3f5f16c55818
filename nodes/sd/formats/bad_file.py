"""The exception for model files that cannot be read."""

from __future__ import annotations

from nodes.sd.formats.json_file import ModelError


class BadFileError(ModelError):
    """Raised if a file cannot be read or is rejected.

    Args:
        code: a stable identifier for programs, such as `unsafe_pickle`.
        message: a sentence that names the file, the fault and the remedy.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
