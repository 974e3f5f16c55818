"""Keeps what recipes stand for loaded: one ledger a device, with a byte budget."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from engine.errors import out_of_memory
from engine.files import Files

if TYPE_CHECKING:
    from engine.watch import Span

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Recipe(Protocol[T_co]):
    """A small frozen value that says what to load, such as the text encoder of a model."""

    @property
    def identity(self) -> Hashable:
        """What makes two recipes the same thing: digests of files, never their names alone."""
        ...

    def load(self, device: str, files: Files) -> tuple[T_co, int]:
        """Load it on a device; returns the thing and the bytes that it takes there."""
        ...


class Residency:
    """Loaded things, least recently used first.

    Args:
        budget_bytes: how much may stay loaded on each device; the newest thing stays, even if larger.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._loaded: dict[str, OrderedDict[Hashable, tuple[Any, int]]] = {}
        self._locks: dict[str, threading.RLock] = {}
        self._lock = threading.Lock()
        self.span: Span = _untold
        """Is entered around each loading, so that it can be followed."""

    def use(self, recipe: Recipe[T], device: str, files: Files) -> T:
        """The loaded thing; loaded now if it is not there, at the cost of what was not used for longest."""
        with self._lock:
            ledger = self._loaded.setdefault(device, OrderedDict())
            lock = self._locks.setdefault(device, threading.RLock())
        with lock:
            if (found := ledger.get(recipe.identity)) is not None:
                ledger.move_to_end(recipe.identity)
                thing: T = found[0]
                return thing
            with self.span(f"load {type(recipe).__name__}", device=device):
                try:
                    thing, size = recipe.load(device, files)
                except Exception as error:
                    if not ledger or not out_of_memory(error):
                        raise
                    ledger.clear()  # nothing of it is in use by others: steps on a device run one at a time
                    thing, size = recipe.load(device, files)
            ledger[recipe.identity] = (thing, size)
            while len(ledger) > 1 and sum(held for _, held in ledger.values()) > self._budget:
                ledger.popitem(last=False)
            return thing

    def loaded(self, device: str) -> list[Hashable]:
        """The identities of what is loaded on a device now, the least recently used first."""
        return list(self._loaded.get(device, ()))

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._loaded.clear()


def _untold(name: str, **said: object) -> AbstractContextManager[None]:
    return nullcontext()
