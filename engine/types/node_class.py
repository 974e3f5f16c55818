"""The metaclass of node classes, which reports mistakes in their definition together with the fix."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, ClassVar, get_args, get_origin

from pydantic import ConfigDict, PydanticUserError
from pydantic._internal._model_construction import ModelMetaclass

from engine.lazy import Lazy
from engine.types.bad_node import BadNode
from engine.types.keywords import unknown_keyword

_PICTURES = ("numpy.ndarray", "PIL.Image.Image")
"""Types of libraries in place of which a node takes an Image."""
_TYPES = "bool, int, float, str, Literal, list, Json or a Value class"


class NodeClass(ModelMetaclass):
    """The metaclass of node classes; it checks the class keywords and the names of inputs."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **keywords: Any) -> type:
        """Create a node class.

        Raises:
            BadNode: the class is invalid.
        """
        if any(isinstance(base, NodeClass) for base in bases):
            _check_keywords(name, keywords)
            _check_names(name, bases, namespace)
        try:
            cls: type = super().__new__(mcs, name, bases, namespace, **keywords)
        except PydanticUserError as error:
            field = next((key for key in namespace if f"`{key} = " in str(error)), None)
            if error.code == "model-field-overridden":
                field = next((key for key in namespace if f"'{key}'" in str(error)), None)
            if field is None and (found := _unknown_type(namespace, str(error))) is not None:
                field, message = found
                raise BadNode(name, message, field) from None
            if field is None:
                raise BadNode(name, str(error.message)) from None
            raise BadNode(name, _without_annotation(field, namespace[field]), field) from None
        except SyntaxError as error:
            raise BadNode(name, f"an annotation is not valid Python: {error.msg}") from None
        return cls


def _check_keywords(cls: str, keywords: dict[str, Any]) -> None:
    taken = [word for word in keywords if word in ConfigDict.__annotations__]  # pydantic would accept them
    if taken:
        raise unknown_keyword(cls, taken)


def _check_names(cls: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
    if not cls.isascii():
        raise BadNode(cls, "use only ASCII characters in the name of a node class, since graphs contain it")
    if "__init__" in namespace:
        message = "a node has no __init__: inputs are fields, and run() computes everything else"
        raise BadNode(cls, message, "__init__")
    for name, annotation in namespace.get("__annotations__", {}).items():
        if _is_class_var(annotation):
            continue
        if name.startswith("_"):
            message = f"the name of an input begins with a letter; a constant is `{name}: ClassVar[...]`"
            raise BadNode(cls, message, name)
        if annotation is Lazy or annotation == "Lazy":
            raise BadNode(cls, "write the type inside Lazy, such as Lazy[float]", name)
        if name == "node_type" or any(hasattr(base, name) for base in bases):
            message = f"every node has an attribute {name}; give the input another name"
            raise BadNode(cls, message, name)


def _is_class_var(annotation: object) -> bool:
    if isinstance(annotation, str):
        return annotation.removeprefix("typing.").startswith("ClassVar")
    return annotation is ClassVar or get_origin(annotation) is ClassVar


def _unknown_type(namespace: dict[str, Any], error: str) -> tuple[str, str] | None:
    """The field whose type pydantic does not know, and a message about it; None if it cannot be found."""
    known = vars(sys.modules[namespace["__module__"]]) if namespace.get("__module__") in sys.modules else {}
    for field, annotation in namespace.get("__annotations__", {}).items():
        try:
            kind = eval(annotation, {**known}) if isinstance(annotation, str) else annotation
        except Exception:  # another message names an annotation that cannot be evaluated
            continue
        for part in _parts(kind):
            kept = get_origin(part) or part
            if isinstance(kept, type) and f"schema for {part!r}" in error:
                spelled = f"{kept.__module__}.{kept.__qualname__}"
                use = "Image of nodes.values" if spelled in _PICTURES else _TYPES
                return field, f"{spelled} is not a type of inputs; use {use}"
    return None


def _parts(annotation: object) -> Iterator[object]:
    """An annotation and the annotations inside it."""
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


def _without_annotation(name: str, value: object) -> str:
    kind = type(value).__name__
    return (
        f"it has no annotation; write `{name}: {kind} = ...` for an input, `{name}: ClassVar[{kind}] = ...`"
        " for a constant"
    )
