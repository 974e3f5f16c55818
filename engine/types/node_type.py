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
    """The input whose value replaces an output when the node is off, by output."""
    converts: str | None = None
    """The input that a conversion node converts; None for other nodes. For a wire between two types that do
    not fit, `check` offers to insert such a node."""
    extends: tuple[str, ...] = ()
    """The inputs that only decide how long a step continues, such as `steps`; see `Node`."""
    returns_graph: bool = False
    """True if `run` may return a graph instead of values."""
    previews: bool = False
    """True if a running step sends previews, so that a canvas reserves space for a picture."""
    advanced_outputs: tuple[str, ...] = ()
    """The outputs that a canvas hides until they are used or asked for."""
    aliases: tuple[str, ...] = ()
    """Other names for searching, such as the node's name in another tool."""
    deprecated: str = ""
    """A sentence for users of a deprecated type, such as `use Upscale2`; empty if it is not deprecated."""
    replaced_by: str = ""
    """The name of the type that replaces a deprecated one; empty if there is none."""
    code: str = ""
    """Digest of the code of its pack; empty for built-in types, which get a new version instead."""

    @cached_property
    def id(self) -> str:
        """Name and version as saved graphs write them, such as `Denoise@1`."""
        return f"{self.name}@{self.version}"

    @cached_property
    def lazy(self) -> frozenset[str]:
        """The inputs that are computed only when the node's `asks` names them."""
        return frozenset(name for name, item in self.inputs.items() if item.lazy)

    @cached_property
    def is_open(self) -> bool:
        """True if the type of an output is a type variable, so that it depends on the wired inputs."""
        return any(kind.is_open for kind in self.outputs.values())

    @cached_property
    def has_open_inputs(self) -> bool:
        """True if the type of an input is a type variable, which stands for the type of the wired output."""
        return any(item.wire.is_open for item in self.inputs.values())

    @cached_property
    def doc(self) -> str:
        """The docstring of the class; its first line is the tooltip."""
        return inspect.cleandoc(self.cls.__dict__.get("__doc__") or "")

    @cached_property
    def input_docs(self) -> dict[str, str]:
        """The docstrings of the inputs, by input."""
        docs: dict[str, str] = {}
        for owner in reversed(self.cls.__mro__):
            if isinstance(owner, NodeClass):
                docs |= docs_under_fields(owner)
        return docs

    def schema(self) -> dict[str, Any]:
        """Return this type as JSON, for a canvas, a form or a reference page."""
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
