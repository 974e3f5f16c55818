"""Reads the `view` of a graph document: frames, notes, collapsed nodes and waypoints."""

from __future__ import annotations

import re
from typing import Any

from engine.document.fields import FieldReader
from engine.document.format import COLOUR, LINK
from engine.document.view import Frame, Note, View
from engine.errors import short


def read_view(fields: FieldReader, tree: Any) -> View:
    """Read a view from parsed JSON, and record problems in `fields`."""
    view = View()
    tree = fields.object(tree, "the view") or {}
    fields.reject_unknown_keys(tree, {"frames", "notes", "collapsed", "waypoints"}, "the view")
    for name, item in (fields.object(tree.get("frames", {}), "the view's frames") or {}).items():
        if fields.is_id(name, "the frame id"):
            view.frames[name] = _frame(fields, f"the frame {name!r}", item)
    for name, item in (fields.object(tree.get("notes", {}), "the view's notes") or {}).items():
        if fields.is_id(name, "the note id"):
            view.notes[name] = _note(fields, f"the note {name!r}", item)
    view.collapsed = list(_names(fields, tree.get("collapsed", []), "the list of collapsed nodes"))
    for end, points in (fields.object(tree.get("waypoints", {}), "the view's waypoints") or {}).items():
        place = f"the wire {short(end)}"
        if not re.fullmatch(LINK, end):
            _bad(fields, f"{place} is not an input", "write node.input")
        elif not isinstance(points, list):
            _bad(fields, f"the waypoints of {place} are {short(points)}", "write a list of [x, y]")
        else:
            view.waypoints[end] = [
                (x, y) for x, y in (_numbers(fields, point, 2, f"a waypoint of {place}") for point in points)
            ]
    return view


def _frame(fields: FieldReader, place: str, item: Any) -> Frame:
    item = fields.object(item, place) or {}
    fields.reject_unknown_keys(item, {"title", "colour", "nodes", "notes", "frames", "box"}, place)
    title = fields.text(item.get("title", ""), f"the title of {place}")
    nodes, notes, frames = (
        _names(fields, item.get(kind, []), f"the {kind} of {place}") for kind in ("nodes", "notes", "frames")
    )
    box = None
    if "box" in item:
        left, top, width, height = _numbers(fields, item["box"], 4, f"the box of {place}")
        box = left, top, width, height
    return Frame(title, _colour(fields, item, place), nodes, notes, frames, box)


def _note(fields: FieldReader, place: str, item: Any) -> Note:
    item = fields.object(item, place)
    if item is None:
        return Note("", (0, 0))
    fields.reject_unknown_keys(item, {"text", "at", "size", "colour"}, place)
    text = fields.text(item.get("text"), f"the text of {place}")
    x, y = _numbers(fields, item.get("at"), 2, f"the place of {place}")
    size = None
    if "size" in item:
        width, height = _numbers(fields, item["size"], 2, f"the size of {place}")
        size = width, height
    return Note(text, (x, y), size, _colour(fields, item, place))


def _colour(fields: FieldReader, item: dict[str, Any], place: str) -> str:
    colour = fields.text(item.get("colour", ""), f"the colour of {place}")
    if "colour" in item and not re.fullmatch(COLOUR, colour):
        _bad(fields, f"the colour of {place} is {short(colour)}", 'write a name, or "#" and six hex digits')
        return ""
    return colour


def _names(fields: FieldReader, value: Any, place: str) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return tuple(value)
    _bad(fields, f"{place} is {short(value)}", "write a list of ids")
    return ()


def _numbers(fields: FieldReader, value: Any, count: int, place: str) -> list[int]:
    if isinstance(value, list) and len(value) == count and all(type(number) is int for number in value):
        return value
    _bad(fields, f"{place} is {short(value)}", f"write {count} whole numbers")
    return [0] * count


def _bad(fields: FieldReader, message: str, hint: str) -> None:
    fields.bad("bad_view", message, hint=hint)
