"""Wire types: the types of inputs and outputs, and the rules for connecting them."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from engine.lazy import Lazy
from engine.values import Json, Value, sorted_keys

_PLAIN = {bool: "bool", int: "int", float: "float", str: "text", dict: "json"}
_PYTHON: dict[str, type | tuple[type, ...]] = {
    "bool": bool,
    "int": int,
    "float": (float, int),
    "text": str,
    "json": dict,
}
ANY = "any"


@dataclass(frozen=True, slots=True)
class Wire:
    """The type of an input or output: a name, and the number of lists around it."""

    name: str
    lists: int = 0

    def __str__(self) -> str:
        return "list of " * self.lists + self.name.removeprefix("~")

    @property
    def is_open(self) -> bool:
        """True for a type variable, whose type the first connected wire determines."""
        return self.name[0] == "~"

    def closed(self, variables: Mapping[str, Wire]) -> Wire:
        """Replace a type variable by its type in `variables`, or by `any` if it is unknown there."""
        if not self.is_open:
            return self
        inner = variables.get(self.name, Wire(ANY))
        return Wire(inner.name, inner.lists + self.lists)

    @property
    def is_value(self) -> bool:
        """True for a `Value` class, which needs a wire; False for plain data, which can also be typed in."""
        return self.name in Value.types

    def holds(self, value: object) -> bool:
        """Return True if a value is of this type; an int is also a float."""
        return _holds(self.name, self.lists, value)

    def spelled(self, value: Any) -> Any:
        """Return the canonical form of a value: tuples as lists, dicts sorted by key, 7 as 7.0 for a float.

        So a value is the same after it is stored and read again, and a node cannot depend on something that
        the key does not contain, such as the order of a dict.

        Raises:
            TypeError: a key of a dict is not text, which JSON requires.
        """
        plain = sorted_keys(value) if isinstance(value, list | tuple | dict) else value
        return _floated(plain) if self.name == "float" else plain

    def fits(self, into: Wire) -> bool:
        """Return True if an output of this type may be connected to an input of type `into`."""
        if into.name == ANY or into.is_open:
            return True
        if self.lists != into.lists:
            return False
        if self.name == into.name or (self.name, into.name) == ("int", "float"):
            return True
        mine, theirs = Value.types.get(self.name), Value.types.get(into.name)
        return mine is not None and theirs is not None and issubclass(mine, theirs)


def _holds(name: str, lists: int, value: object) -> bool:
    if lists:
        return isinstance(value, list | tuple) and all(_holds(name, lists - 1, item) for item in value)
    if (plain := _PYTHON.get(name)) is not None:
        return isinstance(value, plain) and (plain is bool or not isinstance(value, bool))
    return name == ANY or name[0] == "~" or (isinstance(value, Value) and name in value.kinds)


def _floated(value: Json) -> Json:
    if isinstance(value, list):
        return [_floated(item) for item in value]
    return float(value) if type(value) is int else value


def wire(annotation: Any) -> Wire:
    """Return the wire type for the annotation of an input or output.

    Raises:
        TypeError: the annotation is not a wire type.
    """
    annotation = bare(annotation)
    if isinstance(annotation, TypeVar):
        return Wire(f"~{annotation.__name__}")
    origin = get_origin(annotation)
    if origin is Lazy:
        return wire(get_args(annotation)[0])
    if origin is list:
        arguments = get_args(annotation)
        if not arguments:
            raise TypeError(f"{annotation}: write the type of the elements, such as list[float]")
        inner = wire(arguments[0])
        return Wire(inner.name, inner.lists + 1)
    if origin is Literal:
        kinds = {wire(type(choice)) for choice in get_args(annotation)}
        if len(kinds) == 1:
            return kinds.pop()
        raise TypeError(f"{annotation}: all choices must be of one type")
    if origin in (Union, types.UnionType):
        kinds = {wire(arm) for arm in get_args(annotation) if arm is not type(None)}
        if len(kinds) == 1:
            return kinds.pop()
        raise TypeError(f"{annotation}: a wire has one type; use Any, or a Value class with subclasses")
    if origin is dict:
        return Wire("json")
    if annotation is Any or annotation is Json:
        return Wire(ANY)
    if isinstance(annotation, type):
        if issubclass(annotation, Value):
            return Wire(annotation.wire)
        if annotation in _PLAIN:
            return Wire(_PLAIN[annotation])
    raise TypeError(
        f"{annotation!r} is not a wire type; use bool, int, float, str, Literal, list, Json or a Value class"
    )


def of_value(value: Json) -> Wire:
    """Return the wire type of a plain value; the first element of a list decides, `any` if it has none."""
    lists = 0
    while isinstance(value, list):
        value, lists = value[0] if value else None, lists + 1
    return Wire(_PLAIN.get(type(value), ANY), lists)


def bare(annotation: Any) -> Any:
    """Return an annotation without `Annotated` around it."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation
