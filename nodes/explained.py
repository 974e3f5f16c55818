"""The domain's own errors as a node's: the same sentence, with the node as its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from engine.errors import NodeError


@contextmanager
def explained(input: str | None = None, hint: str | None = None) -> Iterator[None]:
    """Tell a `ValueError` of the domain as a failure of the node, about the given input."""
    try:
        yield
    except ValueError as error:
        raise NodeError(str(error), input=input, hint=hint) from error
