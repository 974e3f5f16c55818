"""A node type: the description of a node class, for checking, planning, keys and drawing."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from engine.types.docs import docs_under_fields
from engine.types.inputs import Input
from engine.types.node_class import NodeClass
from engine.types.wire_look import look
from engine.types.wires import Wire
from engine.widgets import Widget


@dataclass(frozen=True)
class NodeType:
    """The description of a node class."""

    name: str
    version: int
    category: str
    pure: bool
    accelerator: bool
    libraries: tuple[str, ...]
    inputs: dict[str, Input]
    outputs: dict[str, Wire]
    cls: type[Any] = field(repr=False, compare=False)
    reads_world: bool = False
    """True if the result depends on more than the inputs, such as a file: the class has a `fingerprint`."""
    passes: Mapping[str, str] = field(default_factory=dict)
    """The input that replaces each output when the node is off."""
    converts: str | None = None
    """The input that a conversion node converts; `check` offers such nodes between two types."""
    extends: tuple[str, ...] = ()
    """The inputs that only decide how long a step continues, such as `steps`; see `Node`."""
    returns_graph: bool = False
    """True if `run` may return a graph instead of values."""
    previews: bool = False
    """True if a running step sends previews, so a canvas keeps room for a picture."""
    advanced_outputs: tuple[str, ...] = ()
    """The outputs that a canvas hides until they are used or asked for."""
    aliases: tuple[str, ...] = ()
    """Other names for searching, such as the node's name in another tool."""
    deprecated: str = ""
    """The alternative to a deprecated type; empty for a type that is not deprecated."""
    replaced_by: str = ""
    """The name of the type that replaces it."""
    code: str = ""
    """Digest of the code of the pack that contains it; empty for built-in types, which change by version."""

    @cached_property
    def id(self) -> str:
        """Name and version in the form of a saved graph: `Denoise@1`."""
        return f"{self.name}@{self.version}"

    @cached_property
    def lazy(self) -> frozenset[str]:
        """The inputs that are computed only when the node's `asks` names them."""
        return frozenset(name for name, item in self.inputs.items() if item.lazy)

    @cached_property
    def is_open(self) -> bool:
        """True if the type of an output depends on what is wired in."""
        return any(kind.is_open for kind in self.outputs.values())

    @cached_property
    def has_open_inputs(self) -> bool:
        """True if the type of an input is a type variable, which stands for the type that is wired in."""
        return any(item.wire.is_open for item in self.inputs.values())

    @cached_property
    def doc(self) -> str:
        """The class's own docstring; its first line is the tooltip."""
        return inspect.cleandoc(self.cls.__dict__.get("__doc__") or "")

    @cached_property
    def input_docs(self) -> dict[str, str]:
        """The docstring under each field, by input."""
        docs: dict[str, str] = {}
        for owner in reversed(self.cls.__mro__):
            if isinstance(owner, NodeClass):
                docs |= docs_under_fields(owner)
        return docs

    def schema(self) -> dict[str, Any]:
        """This type as JSON, for a canvas, a form or a reference page."""
        fields = self.cls.model_json_schema()
        properties = fields.get("properties", {})
        wires = [item.wire for item in self.inputs.values()] + [*self.outputs.values()]
        schema: dict[str, Any] = {
            "type": self.id,
            "category": self.category,
            "doc": self.doc,
            "pure": self.pure,
            "inputs": {name: self._input(item, properties[name]) for name, item in self.inputs.items()},
            "outputs": {name: str(kind) for name, kind in self.outputs.items()},
            "wires": {str(kind): look(kind) for kind in wires},
        }
        if self.passes:
            schema["passes"] = dict(self.passes)
        for word in ("converts", "deprecated", "replaced_by"):
            if value := getattr(self, word):
                schema[word] = value
        if self.previews:
            schema["previews"] = True
        for word in ("aliases", "advanced_outputs"):
            if names := getattr(self, word):
                schema[word] = list(names)
        if "$defs" in fields:
            schema["$defs"] = fields["$defs"]
        return schema

    def _input(self, item: Input, described: Mapping[str, Any]) -> dict[str, Any]:
        properties = {key: value for key, value in described.items() if key != "title"}
        tree: dict[str, Any] = {"wire": str(item.wire), "required": item.required, **properties}
        if item.lazy:
            tree["x-lazy"] = True
        if item.is_advanced:
            tree["x-advanced"] = True
        if item.is_json:
            tree["x-json"] = True
        if doc := self.input_docs.get(item.name):
            tree["description"] = doc
        widget = next((extra for extra in item.info.metadata if isinstance(extra, Widget)), None)
        if widget is not None:
            tree["x-widget"] = widget.describe()
        return tree
