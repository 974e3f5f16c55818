"""Lifts a node over lists: a node that takes a single value runs once for each element of a list.

When a list is connected to an input for a single value, the node runs once for each element, and its outputs
are lists. Each level of list that a node goes through is an axis. With `"lift": "zip"`, the node takes the
elements of several lists side by side. With `"lift": "cross"`, it runs for every combination, and its outputs
are lists of lists.

Crossing combines different lists. Inputs that follow the same list, directly or through other nodes that went
through it, always move through it together: a list is not crossed with itself. Two lists that are made by two
nodes are different, even if they hold equal values. To combine the elements of a list with one another, make
the list twice.

A sweep is an axis of its own: different sweeps always combine, and the same sweep always moves together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Axis:
    """One level of a list, identified by the output, input or sweep that it comes from."""

    name: str
    sweep: bool = False
    order: int = 0
    """For a sweep, its place among the sweeps of the run; the outermost comes first."""
    length: int | None = None
    """The number of elements, if it is known before the run and the same for all lists of this level."""


@dataclass(frozen=True, slots=True)
class Lift:
    """How one node goes through its lists."""

    axes: tuple[Axis, ...]
    """The axes of its outputs, outermost first."""
    axis_of_level: Mapping[str, tuple[int, ...]]
    """For each list input, the index of the axis of each of its levels, in ascending order."""


class Uneven(Exception):
    """Raised for lists that a node cannot go through together. The arguments are a message and a hint."""


def lifted(levels: Mapping[str, Sequence[Axis]], cross: bool) -> Lift:
    """Decide how a node goes through its lists.

    Args:
        levels: for each input that is a list, its axes, outermost first.
        cross: True for every combination, False for side by side.

    Raises:
        Uneven: two lists that go side by side have different lengths, or two that cross are nested in
            opposite order.
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
    """The message and hint for two lists of different lengths."""
    return (
        f"{one!r} has {count} elements and {other!r} has {others}, so they cannot go side by side",
        'give the lists equal lengths, or set "lift" of the node to "cross" to run every combination',
    )


def _plain(axes: Iterable[Axis]) -> list[Axis]:
    return [axis for axis in axes if not axis.sweep]


def depth(value: object) -> int:
    """The number of levels of list in a plain value: 0 for a number, 1 for `[1, 2]`."""
    if not isinstance(value, list | tuple):
        return 0
    return 1 + max(map(depth, value), default=0)


def axes_of(name: str, value: object, levels: int) -> tuple[Axis, ...]:
    """The outermost levels of a plain list as axes. An axis has a length if all lists of its level agree.

    Args:
        name: the name for the axes.
        value: the list.
        levels: how many of its levels the node goes through.
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
