"""Finds the digests of the elements of computed lists, so that each element has its own key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.packing import code_of_types, pack, split
from engine.plan.step import Step, origin
from engine.store.store import Store
from engine.values import Packed, canonical, sha256

ValueOf = Callable[[Step, str], object]
"""Returns the value of an output of a step; raises KeyError if the current run has no such value."""

Digests = str | list["Digests"]
"""The digest of an element of a list; if that element is a list too, the digests of its elements."""


def not_running(step: Step, output: str) -> object:
    """Raise KeyError: outside a run, no value is known. This is the default `ValueOf`."""
    raise KeyError(output)


class TooLong(Exception):
    """Raised if a list has more elements than the caller allows."""


class KnownLists:
    """Looks up the digests of list elements, in the current run or in the store.

    Args:
        store: the store to look for the lists in.
        nonce: a random number that replaces the digest of an element that cannot be packed.
    """

    def __init__(self, store: Store, nonce: str) -> None:
        self.value_of: ValueOf = not_running
        self._store, self._nonce = store, nonce

    def digests(self, step: Step, output: str, path: tuple[int, ...], most: int) -> list[Digests] | None:
        """Return the digests of the elements of a list output (nested lists keep their shape).

        Args:
            step: the step that makes the list.
            output: the name of the output.
            path: the indices of the list in the output; empty if the list is the whole output.
            most: the most elements that the list may have.

        Returns:
            the digests; None if the list has not been computed.

        Raises:
            TooLong: the list has more than `most` elements; no digest has been computed.
        """
        step, output = origin(step, output)
        depth = step.bound.outputs[output].lists - len(path)
        try:
            value: Any = self.value_of(step, output)
        except KeyError:
            pass
        else:
            for index in path:
                value = value[index]
            if len(value) > most:
                raise TooLong
            place = "".join(f".{index}" for index in path)
            return _of_value(value, depth, f"{step.id}.{output}{self._nonce}{place}")
        packed = self._store.packed(step.key, output) if step.key is not None and step.storable else None
        if packed is None:
            return None
        for index in path:
            packed = split(packed)[index]
        if isinstance(packed.meta, list) and len(packed.meta) > most:
            raise TooLong
        return _of_packed(packed, depth)


def of_element(digests: Digests) -> str:
    """Return one digest for an element, also if the element is a list."""
    return digests if isinstance(digests, str) else sha256(canonical(digests))


def _of_value(value: Any, depth: int, otherwise: str) -> list[Digests]:
    digests: list[Digests] = []
    for n, item in enumerate(value):
        place = f"{otherwise}.{n}"
        if depth > 1:
            digests.append(_of_value(item, depth - 1, place))
            continue
        try:
            digests.append(_identity(pack(item)))
        except (TypeError, ValueError):  # it cannot be packed, so results that depend on it are not stored
            digests.append(sha256(place.encode()))
    return digests


def _of_packed(packed: Packed, depth: int) -> list[Digests]:
    items = split(packed)
    return [_of_packed(item, depth - 1) for item in items] if depth > 1 else list(map(_identity, items))


def _identity(packed: Packed) -> str:
    """Combine the digest of an element with that of its value class's code, which unpacks it."""
    code = code_of_types(packed)
    return sha256(f"{packed.digest} {code}".encode()) if code else packed.digest
