"""Converts the `ValueError`s of `nodes.sd` to `NodeError`s of the calling node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from engine.errors import NodeError


@contextmanager
def node_problem(input: str | None = None, hint: str | None = None) -> Iterator[None]:
    """Within the block, convert a `ValueError` to a `NodeError` with its message and its code.

    Args:
        input: the input that causes the error.
        hint: the remedy.
    """
    try:
        yield
    except ValueError as error:
        code = getattr(error, "code", "node_failed")
        raise NodeError(str(error), input=input, hint=hint, code=code) from error
