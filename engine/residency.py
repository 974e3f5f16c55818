"""Keeps what recipes stand for loaded: one ledger a device, with a byte budget."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, cast

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


class Layered(Recipe[T_co], Protocol[T_co]):
    """A recipe for what another one loads with something over it, such as a model with a LoRA.

    What is made of both shares all that it does not change with the base, which therefore stays as long.
    """

    @property
    def base(self) -> Recipe[Any] | None:
        """What lies below; None if nothing lies over it, and this is a plain recipe."""
        ...

    @property
    def layers(self) -> Sequence[Recipe[Any]]:
        """What is laid over it, the first one first."""
        ...

    def compose(self, base: Any, layers: Sequence[Any]) -> tuple[T_co, int]:
        """The base, which stays as it is, with the layers over it, and the bytes that are not the base's."""
        ...


class _Held(NamedTuple):
    thing: Any
    size: int
    below: tuple[Hashable, ...]
    """The identities of the bases whose memory it shares, the nearest first."""


class Residency:
    """Loaded things, least recently used first; a base counts as used after all that share its memory.

    Args:
        budget_bytes: how much may stay loaded on each device; the newest thing stays, even if larger.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._loaded: dict[str, OrderedDict[Hashable, _Held]] = {}
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
            held = self._use(ledger, recipe, device, files)
            keep = {recipe.identity, *held.below}
            for other in list(ledger):
                if sum(one.size for one in ledger.values()) <= self._budget:
                    break
                if other not in keep:
                    del ledger[other]
            thing: T = held.thing
            return thing

    def _use(
        self, ledger: OrderedDict[Hashable, _Held], recipe: Recipe[Any], device: str, files: Files
    ) -> _Held:
        held = ledger.get(recipe.identity)
        if held is None:
            held = ledger[recipe.identity] = self._load(ledger, recipe, device, files)
        for identity in (recipe.identity, *held.below):
            ledger.move_to_end(identity)
        return held

    def _load(
        self, ledger: OrderedDict[Hashable, _Held], recipe: Recipe[Any], device: str, files: Files
    ) -> _Held:
        base: Recipe[Any] | None = getattr(recipe, "base", None)
        if base is None:
            with self.span(f"load {type(recipe).__name__}", device=device):
                return _Held(*_again(ledger, (), lambda: recipe.load(device, files)), ())
        layered = cast("Layered[Any]", recipe)
        layers = [self._use(ledger, layer, device, files).thing for layer in layered.layers]
        under = self._use(ledger, base, device, files)
        below = (base.identity, *under.below)
        with self.span(f"compose {type(recipe).__name__}", device=device):
            return _Held(*_again(ledger, below, lambda: layered.compose(under.thing, layers)), below)

    def loaded(self, device: str) -> list[Hashable]:
        """The identities of what is loaded on a device now, the least recently used first."""
        return list(self._loaded.get(device, ()))

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._loaded.clear()


def _untold(name: str, **said: object) -> AbstractContextManager[None]:
    return nullcontext()


def _again(
    ledger: OrderedDict[Hashable, _Held], keep: Sequence[Hashable], load: Callable[[], tuple[Any, int]]
) -> tuple[Any, int]:
    """Load; if memory runs out, once more without all else that is loaded."""
    try:
        return load()
    except Exception as error:
        idle = [identity for identity in ledger if identity not in keep]
        if not idle or not out_of_memory(error):
            raise
        for identity in idle:  # nothing of it is in use by others: steps on a device run one at a time
            del ledger[identity]
        return load()
