"""The types of wires: read from annotations, compared when a wire is drawn."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from engine.lazy import Lazy
from engine.values import Json, Value

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
    """The type of a socket: a name, and how many lists are around it."""

    name: str
    lists: int = 0

    def __str__(self) -> str:
        return "list of " * self.lists + self.name.removeprefix("~")

    @property
    def is_open(self) -> bool:
        """True for a type variable: the first wire that enters says what it stands for in this node."""
        return self.name[0] == "~"

    def closed(self, meant: Mapping[str, Wire]) -> Wire:
        """This type with its variable replaced by what it stands for; `any` if nothing says."""
        if not self.is_open:
            return self
        inner = meant.get(self.name, Wire(ANY))
        return Wire(inner.name, inner.lists + self.lists)

    @property
    def is_value(self) -> bool:
        """True for things that only a wire can bring; False for what a person can type in."""
        return self.name in Value.types

    def holds(self, value: object) -> bool:
        """True if a value at hand is of this type; an int is also a float."""
        return _holds(self.name, self.lists, value)

    def spelled(self, value: Any) -> Any:
        """The one spelling of a value of this type: lists for tuples, and 7.0 for 7 where floats are taken.

        What is kept and read again is then what the first reader saw.

        Raises:
            TypeError: a key of a dict is not text, which JSON cannot say.
        """
        plain = _listed(value) if isinstance(value, list | tuple | dict) else value
        return _floated(plain) if self.name == "float" else plain

    def fits(self, into: Wire) -> bool:
        """True if what leaves here may enter there: the same type, a subtype, or an int as a float."""
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


def _listed(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_listed(item) for item in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} of a dict is not text")
        return {key: _listed(item) for key, item in value.items()}
    return value


def _floated(value: Json) -> Json:
    if isinstance(value, list):
        return [_floated(item) for item in value]
    return float(value) if type(value) is int else value


def wire(annotation: Any) -> Wire:
    """The wire type that an annotation stands for.

    Raises:
        TypeError: nothing that can travel on a wire is written like this.
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
            raise TypeError(f"{annotation}: say what is in the list, such as list[float]")
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
    if annotation is Any:
        return Wire(ANY)
    if isinstance(annotation, type):
        if issubclass(annotation, Value):
            return Wire(annotation.wire)
        if annotation in _PLAIN:
            return Wire(_PLAIN[annotation])
    raise TypeError(
        f"{annotation!r} cannot travel on a wire; use bool, int, float, str, Literal, list or a Value class"
    )


def of_value(value: Json) -> Wire:
    """The type of a plain value: that of its first element if it is a list, `any` where that says nothing."""
    lists = 0
    while isinstance(value, list):
        value, lists = value[0] if value else None, lists + 1
    return Wire(_PLAIN.get(type(value), ANY), lists)


def bare(annotation: Any) -> Any:
    """An annotation without its `Annotated` wrapping."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation
