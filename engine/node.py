"""The base class of nodes: fields are inputs, and `run` returns the outputs."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.document.graph import From, Param
from engine.errors import AuthorError, short
from engine.types.bad_node import BadNode
from engine.types.inputs import Input, check_defaults, read_inputs
from engine.types.keywords import Keywords, check_extends, check_passes, converted_input, read_keywords
from engine.types.node_class import NodeClass
from engine.types.node_type import NodeType
from engine.types.outputs import read_advanced_outputs, read_outputs
from engine.values import Json, Value

if TYPE_CHECKING:
    from engine.context import Context
    from engine.files import Files

__all__ = ["Input", "Node", "NodeType", "is_connected", "outputs_of"]


class Node(BaseModel, metaclass=NodeClass):
    """The base class of every node.

    Subclass it: annotated fields are the inputs, the return annotation of `run` is the output (a `NamedTuple`
    gives several), and docstrings are the help. Class keywords:

        category: the group in which the palette lists the node.
        version: a whole number; increase it when the same inputs give another result.
        pure: False for a node with side effects, such as one that writes a file. It runs every time.
        accelerator: True for a node that computes on the device; such steps run one at a time per device.
        libraries: packages whose version may change the result; their versions are part of the key.
        extends: the inputs that only decide how long the work continues, such as `("steps",)`. Steps that
            differ only in these have the same `ctx.lineage`, so that a longer one can continue from the state
            of a shorter one.
        returns_graph: True for a node whose `run` may return a graph; see `Context.expand`.
        previews: True if `run` calls `ctx.preview`; a canvas then keeps room for a picture on the node.
        passes: for each output, the input that replaces it when the node is off, such as `{"out": "image"}`.
        converts: True if the node converts its one required input to its one output; the name of that input
            if other inputs are required as well. `check` then suggests the node where a wire does not fit.
        aliases: other names for searching, such as `("KSampler",)`.
        deprecated: the alternative, such as `"use Upscale2"`. The node keeps working, with a warning.
        replaced_by: the name of the node type that replaces it, such as `"Upscale2"`.
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

    def __init__(self, /, *positional: object, **inputs: Any) -> None:
        """Create a node; errors about input names list the valid ones.

        Raises:
            TypeError: an input is given by position.
            ValidationError: an input is missing, unknown or invalid.
        """
        if positional:
            raise TypeError(f"name the inputs: {_signature(type(self))}")
        try:
            self.__pydantic_validator__.validate_python(inputs, self_instance=self)
        except ValidationError as error:
            kinds = {fault["type"] for fault in error.errors(include_url=False, include_input=False)}
            if kinds & {"missing", "extra_forbidden"}:
                error.add_note(f"The inputs are {_signature(type(self))}.")
            raise

    # Pydantic then treats it as its own __init__, which does the same without the note.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__()

    @classmethod
    def __pydantic_init_subclass__(cls, **given: Any) -> None:
        name = cls.__name__
        keywords = read_keywords(name, given)
        if cls.run is Node.run:
            if keywords != Keywords():
                raise BadNode(name, "class keywords are for nodes, and this class has no run()")
            return  # the common base class of several nodes, not a node itself
        inputs, outputs = read_inputs(cls), read_outputs(cls)
        check_passes(name, keywords.passes, inputs, outputs)
        check_extends(name, keywords.extends, inputs)
        _check_methods(cls, inputs)
        replaced_by = keywords.replaced_by
        cls.node_type = NodeType(
            name=name,
            version=keywords.version,
            category=keywords.category,
            extends=keywords.extends,
            returns_graph=keywords.returns_graph,
            previews=keywords.previews,
            advanced_outputs=read_advanced_outputs(cls),
            pure=keywords.pure,
            accelerator=keywords.accelerator,
            libraries=keywords.libraries,
            inputs=inputs,
            outputs=outputs,
            cls=cls,
            reads_world=cls.fingerprint is not Node.fingerprint,
            passes=dict(keywords.passes),
            converts=converted_input(name, keywords.converts, inputs, outputs),
            aliases=keywords.aliases,
            deprecated=keywords.deprecated or (f"use {replaced_by} instead" if replaced_by else ""),
            replaced_by=replaced_by,
        )
        check_defaults(cls)

    def run(self, ctx: Context) -> Any:
        """Compute the outputs. Inputs are read-only; everything else comes from `ctx`."""
        raise TypeError(f"{type(self).__name__} has no run()")

    def fingerprint(self, files: Files) -> Json:
        """The state of the files that the node reads, as JSON, such as digests. It is part of the key.

        If it depends on a wired input, the key of the step is known only after that input has been computed.
        Equal files must give equal JSON; for a node that must run every time, write `pure=False` instead.

        Raises:
            NodeError: a file does not exist.
        """
        return None

    def asks(self) -> Iterable[str]:
        """The names of the `Lazy` inputs that `run` will read; by default all of them.

        It is called before they have values, and must depend on the other inputs only.
        """
        return type(self).node_type.lazy

    @classmethod
    def upgrade(cls, inputs: dict[str, Any], version: int) -> dict[str, Any]:
        """Rewrite inputs that an older `version` of this type saved.

        Args:
            inputs: the saved inputs by name, as plain JSON values. A connected input has an opaque object,
                which may be moved to another name but not changed; see `is_connected`.
            version: the version that saved them.
        """
        return inputs


def is_connected(value: object) -> bool:
    """True if a value in `upgrade` represents a wire or an input of the graph."""
    return isinstance(value, From | Param)


def _signature(cls: type[Node]) -> str:
    return f"{cls.__name__}({', '.join(f'{name}=...' for name in cls.model_fields)})"


def _check_methods(cls: type[Node], inputs: Mapping[str, Input]) -> None:
    """Check that the engine can call the methods of a node class.

    Raises:
        BadNode: a method has a wrong signature.
    """
    name = cls.__name__
    if cls.asks is not Node.asks:
        if not any(item.lazy for item in inputs.values()):
            message = "no input is lazy; declare one, such as `picture: Lazy[Image]`"
            raise BadNode(name, message, "asks")
        if inspect.iscoroutinefunction(cls.asks) or len(inspect.signature(cls.asks).parameters) != 1:
            raise BadNode(
                name, "the engine cannot call it; declare `def asks(self) -> Iterable[str]:`", "asks"
            )
    if len(inspect.signature(cls.fingerprint).parameters) != 2:
        message = "the engine cannot call it; declare `def fingerprint(self, files: Files) -> Json:`"
        raise BadNode(name, message, "fingerprint")
    if not isinstance(inspect.getattr_static(cls, "upgrade"), classmethod | staticmethod):
        message = "it must be a class method, since it is called before the node exists; add @classmethod"
        raise BadNode(name, message, "upgrade")


def outputs_of(node_type: NodeType, returned: object) -> Mapping[str, object]:
    """The outputs by name, from the value that `run` returned.

    Raises:
        AuthorError: the value does not match the return annotation.
    """
    if not node_type.outputs:
        return {}
    if hasattr(returned, "_asdict"):
        given: dict[str, object] = returned._asdict()
        if given.keys() != node_type.outputs.keys():
            raise _wrong_outputs(node_type, f"the outputs {', '.join(given)}")
        return {name: _adopted(node_type, name, value) for name, value in given.items()}
    if list(node_type.outputs) != ["out"]:
        raise _wrong_outputs(node_type, short(returned))
    return {"out": _adopted(node_type, "out", returned)}


def _wrong_outputs(node_type: NodeType, returned: str) -> AuthorError:
    declared = ", ".join(node_type.outputs)
    message = f"run() returned {returned}; its annotation declares {declared}"
    return AuthorError(message, node_type.cls.run, "return the NamedTuple that the annotation declares")


def _adopted(node_type: NodeType, name: str, value: object) -> object:
    """Convert an output value, such as an array, to the declared type if the value class supports it."""
    kind = node_type.outputs[name]
    cls = None if kind.lists or isinstance(value, Value) else Value.types.get(kind.name)
    if cls is None:
        return value
    try:
        adopted = cls.adopt(value)
    except TypeError as error:
        raise AuthorError(f"the output {name!r}: {error}", node_type.cls.run) from None
    return value if adopted is None else adopted
