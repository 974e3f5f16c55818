"""Decides whether a value or wire fits an input, with lists and type variables.

When an input of a fixed type receives a list of that type, the node goes through the list. An input whose
type is a type variable, such as the branches of `Switch`, could either take the whole list or go through it.
It goes through as many levels of list as the inputs of fixed types do, and takes the rest as a whole. A node
always goes through sweeps.

So `Switch` with a list at `select` and lists at its branches chooses element by element; with one number at
`select` it chooses a whole list. To choose a whole list for each element of `select`, wire lists of lists
into the branches, with one list for each element.
"""

from __future__ import annotations

from engine.check.lift import Axis
from engine.node import Input
from engine.types.wires import Wire, of_value
from engine.values import Json


class Fitting:
    """Fits values and wires to the inputs of one node. Inputs of fixed types must be fitted first."""

    def __init__(self) -> None:
        self.levels: dict[str, tuple[Axis, ...]] = {}
        """For each input whose list the node goes through, the axes of the list, outermost first."""
        self.names: dict[str, str] = {}
        """For each input with a literal list, the name of the list's axes."""
        self.added: dict[str, int] = {}
        """For each input whose wire has fewer list levels than its type, the number of levels to add."""
        self.variables: dict[str, Wire] = {}
        """The wire type of each type variable that has been resolved."""
        self._through = 0

    def fixed_types_done(self) -> None:
        """Compute how many levels of list the node goes through; must be called before `open_literal`."""
        counts = (sum(not axis.sweep for axis in axes) for axes in self.levels.values())
        self._through = max(counts, default=0)

    def wanted(self, item: Input) -> Wire:
        """Return the type of an input, with its type variable resolved if its type is known."""
        if item.wire.is_open and item.wire.name in self.variables:
            return item.wire.closed(self.variables)
        return item.wire

    def wire(self, item: Input, offered: Wire, axes: tuple[Axis, ...], source: str) -> bool:
        """Fit a wire to an input. Returns False if it does not fit.

        Args:
            item: the input.
            offered: the type of the output from which the wire comes.
            axes: the lists that the output's node goes through; they are the outermost levels of `offered`.
            source: the name of the output, by which further levels of `offered` are named as axes.
        """
        own = range(offered.lists - len(axes))
        along = (*axes, *(Axis(f"{source}#{level}" if level else source) for level in own))
        wanted = self.wanted(item)
        if item.is_json and offered.is_value:
            return False
        if wanted.is_open:
            inner = offered.lists - wanted.lists
            if inner < 0:
                return False
            sweeps = sum(axis.sweep for axis in along[:inner])
            count = min(sweeps + self._through, inner)
            if count:
                self.levels[item.name] = along[:count]
            self.variables[wanted.name] = Wire(offered.name, inner - count)
            return True
        if offered.fits(wanted):
            return True
        extra = offered.lists - wanted.lists
        if not extra or not Wire(offered.name, wanted.lists).fits(wanted):
            return False
        if extra > 0:
            self.levels[item.name] = along[:extra]
        else:
            self.added[item.name] = -extra
        return True

    def open_literal(self, item: Input, value: Json) -> int | None:
        """Fit a literal to an input whose type is a type variable.

        Returns:
            how many levels of the literal's lists the node goes through; None if the literal does not fit.
        """
        if value is None and not item.required:
            return 0
        kind = of_value(value)
        known = self.variables.get(item.wire.name)
        if known is None:
            inner = max(kind.lists - item.wire.lists, 0)
            count = min(self._through, inner)
            self.variables[item.wire.name] = Wire(kind.name, inner - count)
            return count
        wanted = known.lists + item.wire.lists
        count = max(kind.lists - wanted, 0)
        return count if Wire(known.name, wanted + count).holds(value) else None
