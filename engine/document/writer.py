"""Writes a graph as canonical JSON text: equal graphs give equal text.

Keys have a fixed order, each input, position and frame has a line of its own, and the text ends in a newline.
Reading and writing the text gives the same bytes again, and moving a node on the canvas changes one line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from engine.document.format import FORMAT, LIFTS
from engine.document.graph import Binding, Entry, From, Graph, GraphInput, Literal, Param
from engine.document.view import Frame, Note, View
from engine.values import Json


def dump(graph: Graph) -> str:
    """Convert a graph to its canonical JSON text."""
    head = [f'  "safelight": {FORMAT}']
    if graph.made_with:
        head.append(f'  "made_with": {_text(dict(graph.made_with))}')
    return _document(graph, head) + "\n"


def binding_json(binding: Binding) -> Json:
    """Convert the content of a node's input to JSON; a literal that is an object becomes `{"value": …}`."""
    match binding:
        case From():
            return {"from": str(binding)}
        case Param():
            return {"param": binding.name}
        case Literal(value=dict() as value):
            return {"value": value}
        case Literal():
            return binding.value


def _document(graph: Graph, head: list[str]) -> str:
    lines = [*head]
    if graph.title:
        lines.append(f'  "title": {_text(graph.title)}')
    if graph.doc:
        lines.append(f'  "doc": {_text(graph.doc)}')
    if graph.inputs:
        lines.append(
            _block("inputs", {name: _text(_input_json(item)) for name, item in graph.inputs.items()})
        )
    if graph.outputs:
        lines.append(
            _block("outputs", {name: _text({"from": str(link)}) for name, link in graph.outputs.items()})
        )
    if graph.passes:
        lines.append(f'  "passes": {_text(graph.passes)}')
    lines.append(_block("nodes", {name: _entry(entry) for name, entry in graph.nodes.items()}))
    if graph.graphs:
        inner = {name: _document(item, []).replace("\n", "\n    ") for name, item in graph.graphs.items()}
        lines.append(_block("graphs", inner))
    if graph.layout:
        lines.append(_block("layout", {name: _text(place) for name, place in graph.layout.items()}))
    if graph.view:
        lines.append(_view(graph.view))
    return "{\n" + ",\n".join(lines) + "\n}"


def _input_json(item: GraphInput) -> Json:
    tree: dict[str, Json] = {"type": item.type}
    if not item.required:
        tree["default"] = item.default
    if item.choices:
        tree["choices"] = list(item.choices)
    if item.sweep:
        tree["sweep"] = item.sweep
    if item.doc:
        tree["doc"] = item.doc
    return tree


def _entry(entry: Entry) -> str:
    head = f'"type": {_text(entry.type)}'
    if entry.title:
        head += f', "title": {_text(entry.title)}'
    if entry.off:
        head += ', "off": true'
    if entry.lift != LIFTS[0]:
        head += f', "lift": {_text(entry.lift)}'
    if not entry.inputs:
        return f"{{{head}}}"
    inputs = ",\n".join(
        f"      {_text(name)}: {_text(binding_json(item))}" for name, item in entry.inputs.items()
    )
    return f'{{{head}, "inputs": {{\n{inputs}\n    }}}}'


def _view(view: View) -> str:
    parts: list[str] = []
    if view.frames:
        parts.append(_block("frames", {name: _text(_frame_json(item)) for name, item in view.frames.items()}))
    if view.notes:
        parts.append(_block("notes", {name: _text(_note_json(item)) for name, item in view.notes.items()}))
    if view.collapsed:
        names = ",\n".join(f"    {_text(name)}" for name in view.collapsed)
        parts.append(f'  "collapsed": [\n{names}\n  ]')
    if view.waypoints:
        parts.append(_block("waypoints", {end: _text(points) for end, points in view.waypoints.items()}))
    inner = ",\n".join(parts).replace("\n", "\n  ")
    return f'  "view": {{\n  {inner}\n  }}'


def _frame_json(frame: Frame) -> Json:
    tree: dict[str, Json] = {}
    if frame.title:
        tree["title"] = frame.title
    if frame.colour:
        tree["colour"] = frame.colour
    for key, names in (("nodes", frame.nodes), ("notes", frame.notes), ("frames", frame.frames)):
        if names:
            tree[key] = list(names)
    if frame.box is not None:
        tree["box"] = list(frame.box)
    return tree


def _note_json(note: Note) -> Json:
    tree: dict[str, Json] = {"text": note.text, "at": list(note.at)}
    if note.size is not None:
        tree["size"] = list(note.size)
    if note.colour:
        tree["colour"] = note.colour
    return tree


def _block(name: str, lines: Mapping[str, str]) -> str:
    """Write a JSON object with one entry per line."""
    if not lines:
        return f'  "{name}": {{}}'
    inner = ",\n".join(f"    {_text(key)}: {line}" for key, line in lines.items())
    return f'  "{name}": {{\n{inner}\n  }}'


_text = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False).encode
