"""The exception for an invalid node class."""

from __future__ import annotations


class BadNode(TypeError):
    """Raised by the definition of an invalid node class; names the class, the field and the fix.

    Args:
        cls: the name of the class.
        message: what is wrong, and how to fix it.
        field: the field or method that causes it.
        more: the part of that field or method, for the message.
    """

    def __init__(self, cls: str, message: str, field: str | None = None, more: str = "") -> None:
        self.cls, self.field = cls, field
        place = f"{cls}.{field}" if field else cls
        super().__init__(f"{place}{more}: {message}")
