"""The published JSON Schema of the graph document: it accepts exactly the documents that `reader` accepts."""

from __future__ import annotations

from typing import Any

from engine.document.format import (
    COLOUR,
    FORMAT,
    ID,
    INPUT_TYPES,
    LIFTS,
    LINK,
    MAX_NODES,
    TYPE,
    WIRE,
)


def json_schema() -> dict[str, Any]:
    """Build the JSON Schema (2020-12) of graph documents; `graphs/graph.schema.json` is a copy of it.

    It describes the shape of a document. `check` checks node types, wires and values; `strict_json` checks
    that no key is repeated and every number is finite.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Safelight graph",
        "description": "Typed nodes wired into a directed acyclic graph, with named inputs and outputs.",
        "type": "object",
        "required": ["safelight"],
        "additionalProperties": False,
        "properties": {
            "safelight": {"description": "The version of this format.", "type": "integer", "const": FORMAT},
            "made_with": {
                "description": "Versions of the software that ran the graph; no key reads it.",
                "type": "object",
                "additionalProperties": {"type": "string"},
            },
            **_DOCUMENT,
        },
        "$defs": {
            "id": {"type": "string", "pattern": f"^(?:{ID})$"},
            "graph": {"type": "object", "additionalProperties": False, "properties": _DOCUMENT},
            "graphInput": {
                "type": "object",
                "required": ["type"],
                "additionalProperties": False,
                "properties": {
                    "type": {
                        "description": f"One of {', '.join(INPUT_TYPES)}, or a wire type such as Image.",
                        "type": "string",
                        "pattern": f"^(?:{WIRE})$",
                    },
                    "default": {
                        "description": 'Without it, a run must give a value. A seed may be "random".'
                    },
                    "doc": {"type": "string"},
                    "choices": {"type": "array", "minItems": 1},
                    "sweep": {
                        "description": "Its number among the sweeps; the default is then a list of values.",
                        "type": "integer",
                        "minimum": 1,
                    },
                },
                "dependentSchemas": {
                    "sweep": {"required": ["default"], "properties": {"default": {"type": "array"}}}
                },
                "if": {"properties": {"type": {"const": "choice"}}, "required": ["type"]},
                "then": {"required": ["choices"]},
                "else": {"not": {"required": ["choices"]}},
            },
            "node": {
                "type": "object",
                "required": ["type"],
                "additionalProperties": False,
                "properties": {
                    "type": {"type": "string", "pattern": f"^(?:{TYPE})$"},
                    "title": {"type": "string"},
                    "off": {"description": "Bypass this node.", "type": "boolean"},
                    "lift": {
                        "description": "How it takes several lists: side by side, or in every combination.",
                        "enum": list(LIFTS),
                    },
                    "inputs": {"type": "object", "additionalProperties": {"$ref": "#/$defs/binding"}},
                },
            },
            "binding": {
                "description": "A literal, a wire, or a graph input. A literal object is wrapped in value.",
                "if": {"type": "object"},
                "then": {
                    "oneOf": [
                        {"$ref": "#/$defs/link"},
                        {
                            "required": ["param"],
                            "additionalProperties": False,
                            "properties": {"param": {"type": "string"}},
                        },
                        {"required": ["value"], "additionalProperties": False, "properties": {"value": True}},
                    ]
                },
            },
            "link": {
                "type": "object",
                "required": ["from"],
                "additionalProperties": False,
                "properties": {"from": {"type": "string", "pattern": f"^(?:{LINK})$"}},
            },
            "names": {"type": "array", "items": {"type": "string"}},
            "colour": {"type": "string", "pattern": f"^(?:{COLOUR})$"},
            "point": _whole_numbers(2),
            "frame": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "title": {"type": "string"},
                    "colour": {"$ref": "#/$defs/colour"},
                    "nodes": {"$ref": "#/$defs/names"},
                    "notes": {"$ref": "#/$defs/names"},
                    "frames": {"$ref": "#/$defs/names"},
                    "box": {
                        "description": "Left, top, width and height; without it, the frame fits its members.",
                        **_whole_numbers(4),
                    },
                },
            },
            "note": {
                "type": "object",
                "required": ["text", "at"],
                "additionalProperties": False,
                "properties": {
                    "text": {"type": "string"},
                    "at": {"$ref": "#/$defs/point"},
                    "size": {"$ref": "#/$defs/point"},
                    "colour": {"$ref": "#/$defs/colour"},
                },
            },
        },
    }


def _whole_numbers(count: int) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "integer"}, "minItems": count, "maxItems": count}


_DOCUMENT: dict[str, Any] = {
    "title": {"type": "string"},
    "doc": {"type": "string"},
    "inputs": {
        "description": "Values that a run may set: options of the command line, fields of the run form.",
        "type": "object",
        "propertyNames": {"$ref": "#/$defs/id"},
        "additionalProperties": {"$ref": "#/$defs/graphInput"},
    },
    "outputs": {
        "description": "Results that a run writes to files.",
        "type": "object",
        "propertyNames": {"$ref": "#/$defs/id"},
        "additionalProperties": {"$ref": "#/$defs/link"},
    },
    "passes": {
        "description": "Used as a node that is off: for each output, the input that it hands on.",
        "type": "object",
        "additionalProperties": {"type": "string"},
    },
    "nodes": {
        "type": "object",
        "maxProperties": MAX_NODES,
        "propertyNames": {"$ref": "#/$defs/id"},
        "additionalProperties": {"$ref": "#/$defs/node"},
    },
    "graphs": {
        "description": "Subgraphs, used as the node types #name.",
        "type": "object",
        "propertyNames": {"$ref": "#/$defs/id"},
        "additionalProperties": {"$ref": "#/$defs/graph"},
    },
    "layout": {
        "description": "Where a canvas draws each node; no key reads it.",
        "type": "object",
        "additionalProperties": {"$ref": "#/$defs/point"},
    },
    "view": {
        "description": "What a canvas draws besides; no key reads it.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "frames": {
                "type": "object",
                "propertyNames": {"$ref": "#/$defs/id"},
                "additionalProperties": {"$ref": "#/$defs/frame"},
            },
            "notes": {
                "type": "object",
                "propertyNames": {"$ref": "#/$defs/id"},
                "additionalProperties": {"$ref": "#/$defs/note"},
            },
            "collapsed": {"$ref": "#/$defs/names"},
            "waypoints": {
                "description": "The points of each bent wire, by the input it enters: node.input.",
                "type": "object",
                "propertyNames": {"pattern": f"^(?:{LINK})$"},
                "additionalProperties": {"type": "array", "items": {"$ref": "#/$defs/point"}},
            },
        },
    },
}
