"""Reads the declared outputs of a finished run again: from memory, from the store, or from their files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.errors import SafelightError
from engine.outputs.written_outputs import Outline
from engine.plan.plan import Plan
from engine.plan.step import Step
from engine.run.collected_outputs import assembled
from engine.run.step_inputs import HOLE
from engine.store.store import Store
from engine.values import Packed, Part

HELD_BYTES = 64 << 20
"""The most bytes of outputs that a report holds in memory; further outputs are read from disk on access."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The places from which a value can be read again."""

    packed: Packed | None
    key: str | None
    files: tuple[Path, ...]
    outline: Outline


class KeptOutputs:
    """The declared outputs of one run.

    Args:
        plan: the plan of the run.
        store: holds the results of its steps.
    """

    def __init__(self, plan: Plan, store: Store) -> None:
        self._plan, self._store = plan, store
        self._places: dict[str, dict[Step, _Place]] = {}
        self._room = HELD_BYTES

    def add(self, output: str, step: Step, packed: Packed, outline: Outline, files: tuple[Path, ...]) -> None:
        """Record where to find a value. It is not kept in memory if both the store and files have it.

        Args:
            output: the name of the output.
            step: the step that made it.
            packed: the value.
            outline: the value without its bytes; see `Outline`.
            files: the files with the bytes of its parts, if any.
        """
        key = step.key if step.storable else None
        size = sum(len(part.data) for part in packed.parts)
        places = (key is not None) + bool(files)
        held = not size or not places or (places == 1 and size <= self._room)
        if held:
            self._room -= size
        self._places.setdefault(output, {})[step] = _Place(packed if held else None, key, files, outline)

    def read(self, output: str) -> Packed:
        """An output, with `HOLE` for each missing element.

        Raises:
            SafelightError: the store no longer holds it.
        """
        places = self._places.get(output, {})
        source = self._plan.checked.outputs[output]
        step = self._plan.steps[source.node]
        packed, _ = assembled(
            step, lambda leaf: self._read(places[leaf], source.output) if leaf in places else None
        )
        return packed

    def outputs(self, *, whole: bool) -> Mapping[str, Packed]:
        """The complete outputs, or the incomplete ones, including those that could not be written to files.

        Each value is read on access.

        Args:
            whole: True for the complete outputs, False for those with missing elements.
        """
        names = []
        for name, link in self._plan.checked.outputs.items():
            if link.node in self._plan.targets:
                made = dict.fromkeys(self._places.get(name, {}), HOLE)
                _, is_whole = assembled(self._plan.steps[link.node], made.get)
                if is_whole == whole and (is_whole or made):
                    names.append(name)
        return _Named(self, names)

    def _read(self, place: _Place, output: str) -> Packed:
        if place.packed is not None:
            return place.packed
        packed = None if place.key is None else self._store.packed(place.key, output)
        if packed is not None:
            return packed
        try:
            parts = [
                Part(name, media, path.read_bytes())
                for (name, media, _), path in zip(place.outline.parts, place.files, strict=True)
            ]
        except (OSError, ValueError):
            raise SafelightError("the store no longer holds this output; run the graph again") from None
        return Packed(place.outline.type, place.outline.meta, tuple(parts))


class _Named(Mapping[str, Packed]):
    def __init__(self, outputs: KeptOutputs, names: Collection[str]) -> None:
        self._outputs, self._names = outputs, names

    def __getitem__(self, name: str) -> Packed:
        if name not in self._names:
            raise KeyError(name)
        return self._outputs.read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
