"""The exception for an invalid node class."""

from __future__ import annotations


class BadNode(TypeError):
    """Raised when an invalid node class is defined; it names the class, the field and the fix.

    Args:
        cls: the name of the class.
        message: the mistake, and how to fix it.
        field: the field or method that contains it.
        more: the part of that field or method, such as `, output mask`, for the message.
    """

    def __init__(self, cls: str, message: str, field: str | None = None, more: str = "") -> None:
        self.cls, self.field = cls, field
        place = f"{cls}.{field}" if field else cls
        super().__init__(f"{place}{more}: {message}")
