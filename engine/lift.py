"""Lists lift: how a node that takes one thing goes through lists of them, and what comes out.

A list wired into an input that takes a single thing makes the node run once for each element, and its outputs
lists. Each level of list that is gone through so is an axis. Two lists into one node are gone through side by
side (`zip`), or in every combination (`cross`), in which case the outputs are lists of lists. The axes of a
sweep are apart: different ones always combine, the same one always goes side by side with itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.errors import Problem


@dataclass(frozen=True, slots=True)
class Axis:
    """One level of a list, by where it comes from."""

    name: str
    sweep: bool = False
    order: int = 0
    """Of a sweep, its place among those of the run: the outermost comes first."""
    length: int | None = None
    """How many elements there are, where that is known before anything runs, and the same throughout."""


@dataclass(frozen=True, slots=True)
class Lift:
    """How one node goes through the lists that it is given."""

    axes: tuple[Axis, ...]
    """Of its outputs, outermost first."""
    picks: Mapping[str, tuple[int, ...]]
    """For each input that is a list here, which of the axes each level of it follows; always rising."""


class Uneven(Exception):
    """Lists that cannot be gone through together; the arguments are a message and a hint."""


def lifted(levels: Mapping[str, Sequence[Axis]], cross: bool) -> Lift:
    """How a node goes through lists.

    Args:
        levels: the axes of each input that is a list here, outermost first.
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
                    f"takes lists nested in opposite order ({' in '.join(known)}, and the other way round)",
                    "bring them in the same order, or take them apart first",
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
    """What to say of two lists of different lengths, and the way out."""
    return (
        f"takes {count} of {one!r} and {others} of {other!r}, which cannot go side by side",
        'make them equally long, or set the node to "lift": "cross" for every combination',
    )


def _plain(axes: Iterable[Axis]) -> list[Axis]:
    return [axis for axis in axes if not axis.sweep]


def depth(value: object) -> int:
    """How many levels of list a plain value has: 0 for a number, 1 for `[1, 2]`."""
    if not isinstance(value, list | tuple):
        return 0
    return 1 + max(map(depth, value), default=0)


def axes_of(name: str, value: object, levels: int) -> tuple[Axis, ...]:
    """The outermost levels of a plain list, as axes; a length is known where all lists of a level agree.

    Args:
        name: what the axes are called.
        value: the list.
        levels: how many of its levels are gone through.
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


def problem(error: Uneven, node: str) -> Problem:
    """The same as a problem of a node."""
    message, hint = error.args
    return Problem("uneven_lists", message, node, hint=hint)
