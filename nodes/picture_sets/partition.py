"""Assigns pictures to train, validation and test sets by hashes of their names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

Part = Literal["train", "validation", "test"]


class Partition(NamedTuple):
    """The part (`train`, `validation` or `test`) of each name."""

    parts: Mapping[str, Part]
    moved: Sequence[tuple[str, Part]]
    """The names that were moved into a part, with the part, because it would be empty otherwise."""


class Groups:
    """Groups of names that can be joined. At first, each name is a group of its own."""

    def __init__(self, names: Iterable[str]) -> None:
        self._groups = {name: [name] for name in names}

    def join(self, one: str, other: str) -> None:
        """Put the groups of two names together."""
        mine, theirs = self._groups[one], self._groups[other]
        if mine is not theirs:
            mine += theirs
            self._groups.update(dict.fromkeys(theirs, mine))

    def all(self) -> list[Sequence[str]]:
        """List the groups."""
        return list({id(group): group for group in self._groups.values()}.values())


def partition(groups: Iterable[Sequence[str]], *, validation: float, test: float, seed: int) -> Partition:
    """Assign groups of names to parts.

    The part of a group depends only on the seed and on its first name by the alphabet, so it stays the same
    when other groups are added. Only if a part would be empty, the group with the nearest hash is moved into
    it, until another group belongs there.

    Args:
        groups: the groups; the names of a group come into the same part.
        validation, test: the shares of groups in these parts, on average; their sum is below 1.
        seed: another seed gives another assignment.
    """
    places = sorted((_place(min(group), seed), tuple(group)) for group in groups)
    wanted: list[Part] = [
        "validation" if place < validation else "test" if place >= 1 - test else "train"
        for place, _ in places
    ]
    moved: list[tuple[str, Part]] = []

    def fill(part: Part, candidates: Iterable[int]) -> None:
        """If a part is empty, move the first candidate that is not the only group of its own part into it."""
        if part not in wanted:
            for number in candidates:
                if wanted.count(wanted[number]) > 1:
                    wanted[number] = part
                    moved.append((min(places[number][1]), part))
                    return

    numbers = range(len(places))
    if places and "train" not in wanted:
        middle = sum(part == "validation" for part in wanted)
        nearest = max(0, middle - 1)
        wanted[nearest] = "train"
        moved.append((min(places[nearest][1]), "train"))
    if validation > 0:
        fill("validation", numbers)
    if test > 0:
        fill("test", reversed(numbers))
    parts = {name: part for (_, group), part in zip(places, wanted, strict=True) for name in group}
    return Partition(parts, moved)


def _place(name: str, seed: int) -> float:
    """Hash a name to a number from 0 to 1."""
    data = f"{seed}\0{name}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big") / 2**64
