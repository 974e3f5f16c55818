"""The base class of nodes: its fields are the inputs, and its method `run` returns the outputs."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.document.graph import From, Param
from engine.errors import AuthorError, short
from engine.packing import not_json
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
        version: a whole number; increase it when equal inputs give another result than before.
        pure: False for a node with side effects, such as one that writes a file. It is never cached.
        accelerator: True for a node that computes on the device. Only one such node runs at a time on each
            device.
        libraries: packages whose version may change the result; their versions are part of the cache key.
        extends: the inputs that only decide how long the work continues, such as `("steps",)`. Nodes that
            differ only in these inputs have the same `ctx.lineage`, so that a longer training can continue
            from the checkpoint of a shorter one.
        returns_graph: True for a node whose `run` may return a graph; see `Context.expand`.
        previews: True if `run` calls `ctx.preview`; the canvas then leaves room for a picture on the node.
        passes: for each output, the input that is passed through when the node is off, such as
            `{"out": "image"}`.
        converts: True if the node converts its only required input to its only output; if it requires other
            inputs as well, the name of the converted input. `check` then suggests to insert the node where
            the types of an output and an input do not match.
        aliases: other names by which the palette's search finds the node, such as `("KSampler",)`.
        deprecated: what to use instead, such as `"use Upscale2"`. The node still works, with a warning.
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
        """Create a node from its inputs as keyword arguments. Errors about names list the valid names.

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
            return  # a common base class of several nodes, not a node itself
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
        """Compute and return the outputs. The inputs are the fields of `self`, and must not be changed."""
        raise TypeError(f"{type(self).__name__} has no run()")

    def fingerprint(self, files: Files) -> Json:
        """Return JSON that identifies the content of the files that the node reads, such as their digests.

        It is part of the cache key. If it depends on a wired input, the key is known only after that input
        has been computed. Equal files must give equal JSON; for a node that must run every time, write
        `pure=False` instead.

        Raises:
            NodeError: a file does not exist.
        """
        return None

    def asks(self) -> Iterable[str]:
        """Return the names of the `Lazy` inputs that `run` will read; by default all of them.

        It is called before the lazy inputs have values, and may read only the other inputs.
        """
        return type(self).node_type.lazy

    @classmethod
    def upgrade(cls, inputs: dict[str, Any], version: int) -> dict[str, Any]:
        """Convert the inputs of a graph that was saved with an older `version` of this type.

        Args:
            inputs: the saved inputs by name, as plain JSON values. The value of a connected input is an
                opaque object, which may be moved to another name but not changed; see `is_connected`.
            version: the version of the node type in the saved graph.
        """
        return inputs


def is_connected(value: object) -> bool:
    """Return True if an input in `Node.upgrade` is connected to a node or to an input of the graph."""
    return isinstance(value, From | Param)


def _signature(cls: type[Node]) -> str:
    return f"{cls.__name__}({', '.join(f'{name}=...' for name in cls.model_fields)})"


def _check_methods(cls: type[Node], inputs: Mapping[str, Input]) -> None:
    """Check the signatures of the methods of a node class.

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
    """Convert the value that a node's `run` returned to a mapping of outputs by name.

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
    """Convert an output value, such as an array, to the declared type if that type has such a conversion.

    Raises:
        AuthorError: the value cannot be converted, or is no JSON, such as NaN.
    """
    if (fault := not_json(value)) is not None:
        raise AuthorError(f"the output {name!r} {fault}", node_type.cls.run)
    kind = node_type.outputs[name]
    cls = None if kind.lists or isinstance(value, Value) else Value.types.get(kind.name)
    if cls is None:
        return value
    try:
        adopted = cls.adopt(value)
    except TypeError as error:
        raise AuthorError(f"the output {name!r}: {error}", node_type.cls.run) from None
    return value if adopted is None else adopted
