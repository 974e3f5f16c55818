"""The making of a node class: what cannot work in it is said here, with the fix, before pydantic says it."""

from __future__ import annotations

from typing import Any, ClassVar, get_origin

from pydantic import ConfigDict, PydanticUserError
from pydantic._internal._model_construction import ModelMetaclass

from engine.lazy import Lazy

KEYWORDS = (
    "category",
    "version",
    "pure",
    "accelerator",
    "libraries",
    "passes",
    "converts",
    "deprecated",
    "replaced_by",
)
"""What may stand in the class line of a node."""


class BadNode(TypeError):
    """A node class that cannot work.

    Args:
        cls: its name.
        said: what is wrong, and the fix.
        field: which of its fields or methods it is about.
        more: which part of that.
    """

    def __init__(self, cls: str, said: str, field: str | None = None, more: str = "") -> None:
        self.cls, self.field = cls, field
        place = f"{cls}.{field}" if field else cls
        super().__init__(f"{place}{more}: {said}")


class NodeClass(ModelMetaclass):
    """The class of node classes."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **keywords: Any) -> type:
        """Make a node class.

        Raises:
            BadNode: it cannot work.
        """
        if any(isinstance(base, NodeClass) for base in bases):
            _check_keywords(name, keywords)
            _check_names(name, bases, namespace)
        try:
            made: type = super().__new__(mcs, name, bases, namespace, **keywords)
        except PydanticUserError as error:
            bare = next((key for key in namespace if f"`{key} = " in str(error)), None)
            if error.code == "model-field-overridden":
                bare = next((key for key in namespace if f"'{key}'" in str(error)), None)
            if bare is None:
                raise BadNode(name, str(error.message)) from None
            raise BadNode(name, _without_annotation(bare, namespace[bare]), bare) from None
        except SyntaxError as error:
            raise BadNode(name, f"an annotation cannot be read: {error.msg}") from None
        return made


def unknown_keyword(cls: str, words: list[str]) -> BadNode:
    """What to say of class keywords that mean nothing."""
    known = f"{', '.join(KEYWORDS[:-1])} and {KEYWORDS[-1]}"
    return BadNode(cls, f"unknown class keyword {', '.join(words)}; there are {known}")


def _check_keywords(cls: str, keywords: dict[str, Any]) -> None:
    taken = [word for word in keywords if word in ConfigDict.__annotations__]  # else pydantic keeps them
    if taken:
        raise unknown_keyword(cls, taken)


def _check_names(cls: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
    if not cls.isascii():
        raise BadNode(cls, "graphs name a node by letters from a to z; name the class so")
    if "__init__" in namespace:
        what = "a node has none: inputs are fields, and what follows from them is computed in run()"
        raise BadNode(cls, what, "__init__")
    for name, annotation in namespace.get("__annotations__", {}).items():
        if _is_class_var(annotation):
            continue
        if name.startswith("_"):
            what = f"an input's name begins with a letter; for a constant write `{name}: ClassVar[...]`"
            raise BadNode(cls, what, name)
        if annotation is Lazy or annotation == "Lazy":
            raise BadNode(cls, "say what is in it, such as Lazy[float]", name)
        if name == "node_type" or any(hasattr(base, name) for base in bases):
            raise BadNode(cls, f"every node has a {name} of its own; give the input another name", name)


def _is_class_var(annotation: object) -> bool:
    if isinstance(annotation, str):
        return annotation.removeprefix("typing.").startswith("ClassVar")
    return annotation is ClassVar or get_origin(annotation) is ClassVar


def _without_annotation(name: str, value: object) -> str:
    kind = type(value).__name__
    return (
        f"it has no annotation; write `{name}: {kind} = ...` for an input, `{name}: ClassVar[{kind}] = ...`"
        " for a constant"
    )
