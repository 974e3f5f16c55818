"""The published JSON Schema of the graph document: says exactly what the reader in `graph.py` accepts."""

from __future__ import annotations

from typing import Any

from engine.graph import FORMAT, ID, INPUT_TYPES, LIFTS, MAX_NODES, TYPE, WIRE


def json_schema() -> dict[str, Any]:
    """The schema, in JSON Schema 2020-12, of which `graphs/graph.schema.json` is a copy.

    It describes the shape of a document. That node types exist, that wires lead somewhere and that values
    fit is what `check` says; that keys are written once and numbers are finite, what `strict_json` says.
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
                    "default": {"description": "Without it, a run has to give a value."},
                    "doc": {"type": "string"},
                    "choices": {"type": "array", "minItems": 1},
                    "sweep": {
                        "description": "Its place among the sweeps; its default is then a list of values.",
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
                    "off": {"description": "Step around this node.", "type": "boolean"},
                    "lift": {
                        "description": "How it goes through several lists: side by side, or crosswise.",
                        "enum": list(LIFTS),
                    },
                    "inputs": {"type": "object", "additionalProperties": {"$ref": "#/$defs/binding"}},
                },
            },
            "binding": {
                "description": "A literal, a wire, or an input of the graph; a literal object is wrapped.",
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
                "properties": {"from": {"type": "string", "pattern": "^[^.]*\\.[^.]*$"}},
            },
        },
    }


_DOCUMENT: dict[str, Any] = {
    "title": {"type": "string"},
    "doc": {"type": "string"},
    "inputs": {
        "description": "What a run may set: options of the command line, fields of the run form.",
        "type": "object",
        "propertyNames": {"$ref": "#/$defs/id"},
        "additionalProperties": {"$ref": "#/$defs/graphInput"},
    },
    "outputs": {
        "description": "What a run leaves behind.",
        "type": "object",
        "propertyNames": {"$ref": "#/$defs/id"},
        "additionalProperties": {"$ref": "#/$defs/link"},
    },
    "passes": {
        "description": "Used as a node and off: for each output, the input that it hands on.",
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
        "description": "Graphs that are used as the node types #name.",
        "type": "object",
        "propertyNames": {"$ref": "#/$defs/id"},
        "additionalProperties": {"$ref": "#/$defs/graph"},
    },
    "layout": {
        "description": "Where a canvas draws each node; nothing else reads it.",
        "type": "object",
        "additionalProperties": {
            "type": "array",
            "items": {"type": "integer"},
            "minItems": 2,
            "maxItems": 2,
        },
    },
}
