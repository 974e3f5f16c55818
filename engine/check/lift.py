"""Lifts a node over lists: a node that takes a single value runs once for each element of a list.

When a list is connected to an input for a single value, the node runs once for each element, and its outputs
are lists. Each level of list that a node goes through is an axis. With `"lift": "zip"`, the node takes the
elements of several lists side by side. With `"lift": "cross"`, it runs for every combination, and its outputs
are lists of lists.

Only different lists are crossed. Inputs that take elements of the same list, directly or through other nodes,
always take the same element: a list is not crossed with itself. Lists of two nodes are different, even if
their values are equal. To combine the elements of a list with one another, make the list twice.

A sweep is an axis of its own: different sweeps are always crossed, and a sweep is never crossed with itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Axis:
    """One level of a list that nodes go through, identified by the output, input or sweep it comes from."""

    name: str
    sweep: bool = False
    order: int = 0
    """For a sweep, its position among the sweeps of the run, the outermost first."""
    length: int | None = None
    """The number of elements, if it is known before the run and the same for all lists of this level."""


@dataclass(frozen=True, slots=True)
class Lift:
    """How one node goes through the lists at its inputs."""

    axes: tuple[Axis, ...]
    """The axes of its outputs, outermost first."""
    axis_of_level: Mapping[str, tuple[int, ...]]
    """For each input with a list, the index in `axes` of each of its levels, in ascending order."""


class Uneven(Exception):
    """Raised if a node cannot go through its lists together. Its arguments are a message and a hint."""


def lifted(levels: Mapping[str, Sequence[Axis]], cross: bool) -> Lift:
    """Compute how a node goes through its lists.

    Args:
        levels: for each input with a list, the axes of the list, outermost first.
        cross: True to run for every combination of elements, False to take the elements side by side.

    Raises:
        Uneven: lists that are taken side by side have different lengths, or crossed lists are nested in
            opposite orders.
    """
    sweeps = list(dict.fromkeys(axis for axes in levels.values() for axis in axes if axis.sweep))
    sweeps.sort(key=lambda axis: axis.order)
    rest: list[Axis] = []
    if cross:
        for axes in levels.values():
            own = [axis.name for axis in _plain(axes)]
            known = [axis.name for axis in rest if axis.name in own]
            if known != [name for name in own if name in known]:
                raise Uneven(
                    f"its lists are nested in opposite order ({' in '.join(known)}, and reversed)",
                    "wire the lists so that the same one is the outer list everywhere",
                )
            after = [axis.name for axis in rest]
            for n, axis in enumerate(_plain(axes)):
                if axis.name not in after:
                    inner = next((name for name in own[n:] if name in after), None)
                    at = len(rest) if inner is None else after.index(inner)
                    rest.insert(at, axis)
                    after.insert(at, axis.name)
    else:
        owners: list[str] = []
        for name, axes in levels.items():
            for k, axis in enumerate(_plain(axes)):
                if k == len(rest):
                    rest.append(axis)
                    owners.append(name)
                elif rest[k].length is None:
                    rest[k] = replace(rest[k], length=axis.length)
                elif axis.length not in (None, rest[k].length):
                    raise Uneven(*uneven(owners[k], rest[k].length, name, axis.length))
    order = [axis.name for axis in sweeps + rest]
    picks = {}
    for name, axes in levels.items():
        plain = iter(range(len(sweeps), len(order)))
        picks[name] = tuple(order.index(axis.name) if axis.sweep or cross else next(plain) for axis in axes)
    return Lift(tuple(sweeps + rest), picks)


def uneven(one: str, count: int | None, other: str, others: int | None) -> tuple[str, str]:
    """Make the message and the hint for two lists of different lengths."""
    return (
        f"{one!r} has {count} elements and {other!r} has {others}, so they cannot be taken side by side",
        'make the lists equally long, or set "lift" of the node to "cross" to run every combination',
    )


def _plain(axes: Iterable[Axis]) -> list[Axis]:
    return [axis for axis in axes if not axis.sweep]


def depth(value: object) -> int:
    """Count the levels of list in a JSON value: 0 for a number, 1 for `[1, 2]`."""
    if not isinstance(value, list | tuple):
        return 0
    return 1 + max(map(depth, value), default=0)


def axes_of(name: str, value: object, levels: int) -> tuple[Axis, ...]:
    """Make axes of the outermost levels of a literal list.

    An axis has a length if all lists of its level are equally long.

    Args:
        name: the name of the axes.
        value: the list.
        levels: the number of its levels that the node goes through.
    """
    axes = []
    row: list[object] = [value]
    for level in range(levels):
        lengths = {len(item) for item in row if isinstance(item, list | tuple)}
        axes.append(
            Axis(f"{name}#{level}" if level else name, length=lengths.pop() if len(lengths) == 1 else None)
        )
        row = [inner for item in row if isinstance(item, list | tuple) for inner in item]
    return tuple(axes)
