"""The items on a canvas other than nodes: frames, notes, collapsed nodes and bent wires.

They have no effect on cache keys, checks and plans. Ids of nodes that do not exist are kept unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Frame:
    """A titled box around nodes. It stores the ids of its nodes, which move and are copied with it."""

    title: str = ""
    colour: str = ""
    nodes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()
    """The frames inside this one."""
    box: tuple[int, int, int, int] | None = None
    """Left, top, width and height; None for a frame that fits its members."""


@dataclass(frozen=True, slots=True)
class Note:
    """A text on the canvas."""

    text: str
    at: tuple[int, int]
    size: tuple[int, int] | None = None
    colour: str = ""


@dataclass(slots=True)
class View:
    """Everything on a canvas except nodes and wires. The positions of nodes are in `Graph.layout`."""

    frames: dict[str, Frame] = field(default_factory=dict)
    notes: dict[str, Note] = field(default_factory=dict)
    collapsed: list[str] = field(default_factory=list)
    """Ids of the nodes of which only the header is drawn."""
    waypoints: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """For each bent wire, by the input it enters (`node.input`), the points that it passes through."""

    def __bool__(self) -> bool:
        """Return False if the view is empty, so that it is not saved."""
        return bool(self.frames or self.notes or self.collapsed or self.waypoints)
