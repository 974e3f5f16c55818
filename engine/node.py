"""A node: a small class whose fields are its inputs and whose `run` says its outputs."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

from engine.declared import (
    Input,
    check_defaults,
    check_passes,
    converted,
    declared_outputs,
    docs_under_fields,
    inputs_of,
)
from engine.node_class import BadNode, NodeClass, unknown_keyword
from engine.values import Json
from engine.widgets import Widget
from engine.wires import Wire

if TYPE_CHECKING:
    from engine.context import Context
    from engine.files import Files

__all__ = ["Input", "Node", "NodeType", "outputs_of"]

MAX_VERSION = 999_999


@dataclass(frozen=True)
class NodeType:
    """What the engine knows of a node class: enough to check, plan, key and draw it."""

    name: str
    version: int
    category: str
    pure: bool
    accelerator: bool
    libraries: tuple[str, ...]
    inputs: dict[str, Input]
    outputs: dict[str, Wire]
    cls: type[Node] = field(repr=False, compare=False)
    passes: Mapping[str, str] = field(default_factory=dict)
    """For each output that has one, the input that it hands on when the node is off."""
    converts: str | None = None
    """The input that it is a conversion of, if it is one: what `check` offers between two types."""
    deprecated: str = ""
    """What to do instead of using it; empty for a type that is not deprecated."""
    replaced_by: str = ""
    """The name of the type that takes its place."""
    code: str = ""
    """Digest of the source for types from a user's folder; built-in types change by version."""

    @property
    def id(self) -> str:
        """Name and version, as a saved graph writes it: `Denoise@1`."""
        return f"{self.name}@{self.version}"

    @cached_property
    def reads_world(self) -> bool:
        """True if the node's result depends on more than its inputs, such as a file."""
        return self.cls.fingerprint is not Node.fingerprint

    @cached_property
    def lazy(self) -> frozenset[str]:
        """The inputs that are fetched only when the node asks for them."""
        return frozenset(name for name, item in self.inputs.items() if item.lazy)

    @cached_property
    def is_open(self) -> bool:
        """True if an output's type depends on what is wired in."""
        return any(kind.is_open for kind in self.outputs.values())

    @cached_property
    def doc(self) -> str:
        """The class's own docstring; its first line is the tooltip."""
        return inspect.cleandoc(self.cls.__dict__.get("__doc__") or "")

    @cached_property
    def input_docs(self) -> dict[str, str]:
        """The docstring under each field, by input."""
        docs: dict[str, str] = {}
        for owner in reversed(self.cls.__mro__):
            if issubclass(owner, Node) and owner is not Node:
                docs |= docs_under_fields(owner)
        return docs

    def schema(self) -> dict[str, Any]:
        """This type as JSON: what a canvas, a form or a reference page is drawn from."""
        fields = self.cls.model_json_schema()
        properties = fields.get("properties", {})
        inputs: dict[str, Any] = {}
        for name, item in self.inputs.items():
            described = {key: value for key, value in properties[name].items() if key != "title"}
            doc = self.input_docs.get(name)
            inputs[name] = {"wire": str(item.wire), "required": item.required, **described}
            if item.lazy:
                inputs[name]["x-lazy"] = True
            if doc:
                inputs[name]["description"] = doc
            widget = next((extra for extra in item.info.metadata if isinstance(extra, Widget)), None)
            if widget is not None:
                inputs[name]["x-widget"] = widget.describe()
        schema: dict[str, Any] = {
            "type": self.id,
            "category": self.category,
            "doc": self.doc,
            "pure": self.pure,
            "inputs": inputs,
            "outputs": {name: str(kind) for name, kind in self.outputs.items()},
        }
        if self.passes:
            schema["passes"] = dict(self.passes)
        for word in ("converts", "deprecated", "replaced_by"):
            if said := getattr(self, word):
                schema[word] = said
        if "$defs" in fields:
            schema["$defs"] = fields["$defs"]
        return schema


class Node(BaseModel, metaclass=NodeClass):
    """The base of every node.

    Subclass it: annotated fields are the inputs, the return annotation of `run` is the output (a `NamedTuple`
    gives several), docstrings are the help. Class keywords:

        category: where the palette lists it.
        version: a whole number; raise it when the same inputs give another result.
        pure: False for a node that acts on the world, such as one that writes a file: it always runs.
        accelerator: True for a node that computes on the device; such steps run one at a time per device.
        libraries: packages whose release may change the result; their versions enter the key.
        passes: what each output hands on when the node is off, such as `{"out": "image"}`.
        converts: True if the node does nothing but turn its one required input into its one output; the name
            of that input if it requires others besides. It is then offered where a wire does not fit.
        deprecated: what to do instead, such as `"use Upscale2"`; the node works on, with a warning.
        replaced_by: the name of the node type that takes its place, such as `"Upscale2"`.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        protected_namespaces=(),
    )

    node_type: ClassVar[NodeType]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__()

    @classmethod
    def __pydantic_init_subclass__(
        cls,
        *,
        category: str = "other",
        version: int = 1,
        pure: bool = True,
        accelerator: bool = False,
        libraries: tuple[str, ...] = (),
        passes: Mapping[str, str] | None = None,
        converts: bool | str = False,
        deprecated: str = "",
        replaced_by: str = "",
        **unknown: Any,
    ) -> None:
        name = cls.__name__
        if unknown:
            raise unknown_keyword(name, list(unknown))
        if type(version) is not int or not 1 <= version <= MAX_VERSION:
            raise BadNode(name, f"version is {version!r}; use a whole number from 1")
        if not isinstance(libraries, tuple):
            raise BadNode(name, f'libraries is {libraries!r}; write a tuple, such as ("torch",)')
        if not isinstance(category, str):
            raise BadNode(name, f'category is {category!r}; write text, such as "image"')
        if not isinstance(deprecated, str) or not isinstance(replaced_by, str):
            raise BadNode(name, 'deprecated and replaced_by are text, such as deprecated="use Upscale2"')
        if passes is not None and not isinstance(passes, Mapping):
            raise BadNode(name, f'passes is {passes!r}; write a dict, such as {{"out": "image"}}')
        if cls.run is Node.run:
            said = converts or deprecated or replaced_by or passes
            if (category, version, pure, accelerator, libraries) != ("other", 1, True, False, ()) or said:
                raise BadNode(name, "class keywords are for nodes, and this one has no run()")
            return  # a shared base of several nodes, not a node itself
        inputs, outputs = inputs_of(cls), declared_outputs(cls)
        check_passes(cls, passes or {}, inputs, outputs)
        _check_methods(cls, inputs)
        cls.node_type = NodeType(
            name=name,
            version=version,
            category=category,
            pure=pure,
            accelerator=accelerator,
            libraries=libraries,
            inputs=inputs,
            outputs=outputs,
            cls=cls,
            passes=dict(passes or {}),
            converts=converted(name, converts, inputs, outputs),
            deprecated=deprecated or (f"use {replaced_by} instead" if replaced_by else ""),
            replaced_by=replaced_by,
        )
        check_defaults(cls)

    def run(self, ctx: Context) -> Any:
        """Compute the outputs. Inputs are read-only; ask `ctx` for everything else."""
        raise TypeError(f"{type(self).__name__} has no run()")

    def fingerprint(self, files: Files) -> Json:
        """What this node reads from the world, as JSON, such as a file's digest. It enters the key.

        Raises:
            NodeError: what it wants to read is not there.
        """
        return None

    def asks(self) -> Iterable[str]:
        """Which of the `Lazy` inputs `run` will read; all of them unless the node says otherwise.

        It is asked before any of them is there, and must depend on the other inputs alone.
        """
        return type(self).node_type.lazy

    @classmethod
    def upgrade(cls, inputs: dict[str, Any], version: int) -> dict[str, Any]:
        """Rewrite inputs that were saved by an older `version` of this type."""
        return inputs


def _check_methods(cls: type[Node], inputs: Mapping[str, Input]) -> None:
    """Find methods that the engine could not call as it does."""
    name = cls.__name__
    if cls.asks is not Node.asks:
        if not any(item.lazy for item in inputs.values()):
            what = "there is no input to ask for; declare one as Lazy, such as `picture: Lazy[Image]`"
            raise BadNode(name, what, "asks")
        if inspect.iscoroutinefunction(cls.asks) or len(inspect.signature(cls.asks).parameters) != 1:
            raise BadNode(name, "write it as `def asks(self) -> Iterable[str]:`", "asks")
    if len(inspect.signature(cls.fingerprint).parameters) != 2:
        raise BadNode(name, "write it as `def fingerprint(self, files: Files) -> Json:`", "fingerprint")
    if not isinstance(inspect.getattr_static(cls, "upgrade"), classmethod | staticmethod):
        raise BadNode(name, "put @classmethod above it: there is no node yet when it is called", "upgrade")


def outputs_of(node_type: NodeType, returned: object) -> Mapping[str, object]:
    """What `run` returned, by output name.

    Raises:
        TypeError: it is not what the annotation says.
    """
    if not node_type.outputs:
        return {}
    if hasattr(returned, "_asdict"):
        given: dict[str, object] = returned._asdict()
        if given.keys() != node_type.outputs.keys():
            raise TypeError(f"returned {', '.join(given)} where {', '.join(node_type.outputs)} was declared")
        return given
    if list(node_type.outputs) != ["out"]:
        raise TypeError(f"returned one value where {', '.join(node_type.outputs)} were declared")
    return {"out": returned}
