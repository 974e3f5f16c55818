"""Keeps models loaded on devices, within a memory budget for each device."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from functools import partial
from typing import Any, TypeVar

from engine.devices.compute import HOST, ComputeSettings
from engine.devices.ledger import Key, Ledger, Loaded, NextUse, Row
from engine.devices.memory import DeviceMemory, device_memory, in_units
from engine.devices.model_eviction import evict
from engine.devices.out_of_memory import free_cached, full, with_retries
from engine.devices.pins import Pins, require_unchanged
from engine.devices.recipe import Recipe
from engine.errors import OUT_OF_MEMORY, NodeError
from engine.files import Files, changed_file, overwritten

T = TypeVar("T")

Span = Callable[..., AbstractContextManager[None]]
"""`span(name, **facts)`: entered around work on the calling thread, so that it can be traced."""


_CUDA_SHARE, _HOST_SHARE = 0.9, 0.5
"""The shares of the memory that loaded models may take by default: mps uses the memory of the host."""
_UNKNOWN_BUDGET = 8 << 30


class _Device:
    """One device: the models loaded on it, and the lock that lets only one thread load at a time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ledger = Ledger()
        self.loading = threading.RLock()


class Residency:
    """Cache of the loaded models of each device. It first evicts the model whose next use is farthest away.

    Before a model is loaded, its recipe estimates its size, and others are evicted until it fits. The models
    of a step are pinned, and so not evicted, until the step ends. Runs tell the cache when they use a model
    next (`expecting`); of models that no run will use, the least recently used one is evicted first. A base
    model is never evicted before the patched copies that share its tensors.

    Args:
        budget_bytes: the maximum size of the models that stay loaded on each device; pinned models may exceed
            it. None for nine tenths of the memory of a `cuda` device, and half of the memory of others.
        memory: returns the memory of a device, or None if it is unknown.
    """

    def __init__(
        self, budget_bytes: int | None, memory: Callable[[str], DeviceMemory | None] = device_memory
    ) -> None:
        self._given_budget = budget_bytes
        self._memory = memory
        self.span: Span = _no_span
        """Entered around each load."""
        self._devices: dict[str, _Device] = {}
        self._plans: list[NextUse] = []
        self._lock = threading.Lock()  # guards the ledgers; never held during a load

    def watched(self, span: Span) -> Residency:
        """Return a view of this cache for one run; it enters `span` around each load that the run causes."""
        other = copy(self)
        other.span = span
        return other

    def budget(self, device: str) -> int:
        """Return the maximum total size of the idle models that stay loaded on a device, in bytes."""
        if self._given_budget is not None:
            return self._given_budget
        memory = self._memory(device)
        if memory is None:
            return _UNKNOWN_BUDGET
        share = _CUDA_SHARE if device.startswith("cuda") else _HOST_SHARE
        return int(memory.total * share)

    def use(self, recipe: Recipe[T], compute: ComputeSettings, files: Files, pins: Pins | None = None) -> T:
        """Return the model of a recipe, and load it if it is not loaded yet.

        Args:
            recipe: describes the model.
            compute: the device and the precision.
            files: finds the files of the model.
            pins: receives a pin of the model, so that it stays loaded while the step runs; without it, the
                model may be evicted at any time.

        Raises:
            NodeError: the file is missing or unusable, or memory ran out although all idle models were
                evicted.
        """
        entry = self._pinned(recipe, compute, files)
        if pins is None or not pins.keep(entry):
            self._unpin([entry])
        model: T = entry.model
        return model

    def release(self, recipe: Recipe[Any], compute: ComputeSettings, pins: Pins) -> None:
        """Remove a step's pin of a model, and evict the model unless another step or loaded model uses it.

        Args:
            recipe: the recipe of the model.
            compute: the device and the precision with which it was loaded.
            pins: the pins of the step.
        """
        compute = HOST if recipe.on_host else compute
        key, place = Key(recipe.identity, compute.placement), recipe.resides_on(compute)
        with self._lock:
            ledger = self._device(place).ledger
            entry = ledger.use(key)
            if entry is None or not pins.drop(entry):
                return
            entry.pins -= 1
            removed = ledger.remove(key)
        if removed:
            free_cached(place)

    def retried(
        self,
        device: str,
        work: Callable[[], T],
        save_memory: Callable[[], bool] = lambda: False,
        pins: Callable[[], Pins | None] = lambda: None,
        reserved: Callable[[], int] = lambda: 0,
    ) -> T:
        """Call `work`; if memory runs out, make room and call it again.

        The remedies are tried once each: free unused memory of Python and torch; evict all idle models;
        release the step's own models, and let it compute in the way that takes the least memory.

        Args:
            device: the device that computes.
            work: the computation of a step.
            save_memory: switches the step to the way that takes the least memory; returns False if it has no
                such way.
            pins: returns the pins of the step.
            reserved: returns the largest number of bytes that the step has reserved.

        Raises:
            NodeError: memory ran out every time; the message has the needed and the available bytes.
        """

        def remedies() -> Iterator[bool]:
            free_cached(device)
            yield True
            yield self.free(device) > 0
            if not save_memory():
                return
            self.free(device)
            yield True

        def failed(message: str) -> NodeError:
            own = pins()
            models = 0 if own is None else own.bytes(device)
            return full(device, message, self._memory(device), reserved(), models)

        return with_retries(work, remedies(), failed)

    def reserve(self, device: str, size: int, work: str) -> None:
        """Make room on a device for the tensors of a computation, by evicting idle models until they fit.

        Args:
            device: the device that computes.
            size: the estimated peak memory of the computation in bytes, without the loaded models.
            work: names the computation in messages, such as `decoding 512 x 512`.

        Raises:
            NodeError: `too_large`: the device does not have this much memory.
        """
        memory = self._memory(device)
        if memory is None:
            return
        if size > memory.total:
            raise NodeError(
                f"{work} takes about {in_units(size)} of memory, and {device} has {in_units(memory.total)}",
                hint="make the picture or the batch smaller",
                code="too_large",
            )
        freed = 0
        with self._lock:
            ledger = self._device(device).ledger
            before = ledger.bytes
            while memory.free + freed < size and evict(ledger, self._next):
                freed = before - ledger.bytes
        if freed:
            free_cached(device)

    def pins(self) -> Pins:
        """Create an empty set of pins for one step."""
        return Pins(self._unpin, self.bytes_of)

    @contextmanager
    def expecting(self, next_use: NextUse) -> Iterator[None]:
        """Context manager for a run: inside it, models are evicted in the order of their next use by the run.

        Args:
            next_use: returns the number of steps until a recipe is used next; called from any thread.
        """
        with self._lock:
            self._plans.append(next_use)
        try:
            yield
        finally:
            with self._lock:
                self._plans.remove(next_use)

    def ledger(self) -> list[Row]:
        """List the loaded models of all devices; those of one device least recently used first."""
        with self._lock:
            return [
                row for name, device in self._devices.items() for row in device.ledger.rows(name, self._next)
            ]

    def bytes_of(self, device: str, keys: Sequence[Key]) -> int:
        """Return the total size of loaded models on a device, with the bases whose tensors they share."""
        with self._lock:
            return self._device(device).ledger.bytes_of(keys)

    def free(self, device: str) -> int:
        """Evict all models on a device that are not pinned. Returns the freed bytes."""
        with self._lock:
            ledger = self._device(device).ledger
            before = ledger.bytes
            while evict(ledger, self._next):
                pass
            freed = before - ledger.bytes
        free_cached(device)
        return freed

    def clear(self) -> None:
        """Unload all models from all devices, pinned or not."""
        with self._lock:
            for device in self._devices.values():
                device.ledger.clear()

    def _pinned(self, recipe: Recipe[Any], compute: ComputeSettings, files: Files) -> Loaded:
        if recipe.on_host:
            compute = HOST
        key = Key(recipe.identity, compute.placement)
        with self._lock:
            device = self._device(recipe.resides_on(compute))
            self._drop_overwritten(device.ledger, key)
            if (entry := self._use(device, key)) is not None:
                return entry
        with device.loading:
            with self._lock:
                if (entry := self._use(device, key)) is not None:
                    return entry  # another thread has loaded it in the meantime
            entry = self._load(device, key, recipe, compute, files)
            entry.label = recipe.label()
            with self._lock:
                entry.pins += 1
                device.ledger.add(entry)
                self._make_room(device, compute, 0)  # in case its size was unknown before
        return entry

    def _load(
        self, device: _Device, key: Key, recipe: Recipe[Any], compute: ComputeSettings, files: Files
    ) -> Loaded:
        name = type(recipe).__name__
        if (staging := recipe.staging(compute)) is not None:
            return self._place(device, key, recipe, compute, staging, files)
        if recipe.base is None:
            size = recipe.size(compute, files)
            load = partial(recipe.load, compute, files)
            with (
                self.span(f"load {name}", device=compute.device, bytes=size),
                files.unchanged() as read,
            ):
                made = self._with_room(device, compute, name, size, load)
            return Loaded(key, *made, (), read)
        used: list[Loaded] = []  # pinned, so that making room for the patched copy does not evict them
        try:
            used.extend(self._pinned(layer, compute, files) for layer in recipe.layers)
            layers = [layer.model for layer in used]
            base = self._pinned(recipe.base, compute, files)
            used.append(base)
            size = recipe.composed_size(base.model, layers, compute)
            compose = partial(recipe.compose, base.model, layers, compute)
            with self.span(f"compose {name}", device=compute.device, bytes=size):
                made = self._with_room(device, compute, name, size, compose)
            require_unchanged(used)
            return Loaded(key, *made, (base.key, *base.bases), base.files)
        finally:
            self._unpin(used)

    def _place(
        self,
        device: _Device,
        key: Key,
        recipe: Recipe[Any],
        compute: ComputeSettings,
        staging: ComputeSettings,
        files: Files,
    ) -> Loaded:
        """Load the master copy of a recipe's model on the host, and place a copy on the device."""
        name = type(recipe).__name__
        shares = recipe.resides_on(compute) == staging.device and not compute.storage_dtype
        master = self._pinned(recipe, staging, files)
        try:
            size = 0 if shares else self.bytes_of(staging.device, [master.key])
            place = partial(recipe.place, master.model, compute)
            with self.span(f"place {name}", device=compute.device, bytes=size):
                made = self._with_room(device, compute, name, size, place)
            require_unchanged([master])
            bases = (master.key, *master.bases) if shares else ()
            return Loaded(key, *made, bases, master.files)
        finally:
            self._unpin([master])

    def _with_room(
        self,
        device: _Device,
        compute: ComputeSettings,
        name: str,
        size: int,
        load: Callable[[], tuple[Any, int]],
    ) -> tuple[Any, int]:
        """Make room for `size` bytes, and call `load`; if memory runs out, evict all idle models and retry.

        Raises:
            NodeError: memory ran out again.
        """
        with self._lock:
            self._make_room(device, compute, size)

        def remedies() -> Iterator[bool]:
            self.free(compute.device)
            yield True

        def failed(message: str) -> NodeError:
            with self._lock:
                in_use = device.ledger.bytes
            memory = self._memory(compute.device)
            has = "" if memory is None else f", which has {in_units(memory.total)}"
            return NodeError(
                f"memory ran out on {compute.device}{has}, while loading {name}, which takes"
                f" {in_units(size)}; {in_units(in_use)} of other models are in use",
                hint="close other programs, set `dtype` to float16, or compute on another device",
                code=OUT_OF_MEMORY,
            )

        return with_retries(load, remedies(), failed)

    def _device(self, name: str) -> _Device:
        return self._devices.setdefault(name, _Device(name))

    @staticmethod
    def _drop_overwritten(ledger: Ledger, key: Key) -> None:
        """Unload a model if its file was overwritten, with the patched copies that share its tensors.

        Raises:
            NodeError: the file was overwritten, but a running step uses the model.
        """
        entry = ledger.use(key)
        if entry is None or (path := overwritten(entry.files)) is None:
            return
        if not ledger.remove_all_of(key):
            raise changed_file(path)

    @staticmethod
    def _use(device: _Device, key: Key) -> Loaded | None:
        entry = device.ledger.use(key)
        if entry is not None:
            entry.pins += 1
        return entry

    def _make_room(self, device: _Device, compute: ComputeSettings, size: int) -> None:
        """Evict idle models until `size` bytes fit into the budget; with offloading, evict all of them."""
        offloads = compute.offload != "none" and device.name == compute.device
        budget = 0 if offloads else self.budget(device.name)
        while device.ledger.bytes + size > budget and evict(device.ledger, self._next):
            pass

    def _next(self, identity: Hashable) -> float:
        return min((plan(identity) for plan in self._plans), default=math.inf)

    def _unpin(self, entries: Sequence[Loaded]) -> None:
        """Decrement the pin count of each model."""
        with self._lock:
            for entry in entries:
                entry.pins -= 1


def _no_span(name: str, **facts: object) -> AbstractContextManager[None]:
    return nullcontext()
