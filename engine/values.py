"""The values that wires carry: JSON, and the subclasses of `Value` that node packs declare."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from typing_extensions import TypeAliasType

Json = TypeAliasType("Json", "bool | int | float | str | list[Json] | dict[str, Json] | None")
"""Any JSON value. An input of this type also accepts a list, and the node receives it as a whole."""


FAMILIES = ("pixels", "latents", "conditioning", "models", "text", "training", "values")
"""The families of wire types; a canvas draws all wires of a family in one colour."""


def canonical(value: object) -> bytes:
    """Encode a value as canonical JSON (sorted keys, no spaces), for digests and keys.

    Raises:
        ValueError: the value contains NaN or an infinity, which JSON does not have.
        TypeError: the value is not JSON.
    """
    return _encode(value).encode()


_encode = json.JSONEncoder(
    ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":"), check_circular=False
).encode


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class Part:
    """One binary part of a packed value, such as a PNG or safetensors file."""

    name: str
    media: str
    """The media type, such as `image/png`; it determines the suffix of a written file."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Packed:
    """A wire value converted to bytes, for stores and files: JSON in `meta`, and binary parts."""

    type: str
    """The wire type of the value; `json` for plain JSON, `list` for a list with any `Value` in it."""
    meta: Json
    parts: tuple[Part, ...] = ()

    @property
    def digest(self) -> str:
        """The SHA-256 of the value in hex: equal digests mean equal values."""
        return digest_of(
            self.type, self.meta, ((part.name, part.media, sha256(part.data)) for part in self.parts)
        )


def digest_of(type: str, meta: Json, parts: Iterable[tuple[str, str, str]]) -> str:
    """Compute `Packed.digest` without the bytes, from each part's (name, media type, SHA-256)."""
    return sha256(canonical([type, meta, [list(part) for part in parts]]))


class Value:
    """The base class of wire values other than JSON, such as pictures, latents and recipes for models.

    Values are immutable: a node that receives one must not write into it. A subclass is usually a frozen
    dataclass, and defines its conversion to bytes (`pack`) and back (`unpack`).

    The class keyword `wire` names the wire type; by default it is the name of the class. The class keyword
    `family` is one of `FAMILIES`, such as `family="pixels"`, and decides the colour of the wires on a canvas.

    The class keyword `lossless=True` declares that `unpack` restores a value exactly. Without it, later steps
    always receive the value after `pack` and `unpack`, so that new results equal cached ones.

    A value is identified by its wire type, not by its class, because a reloaded pack declares the same type
    with a new class.
    """

    wire: ClassVar[str] = "Value"
    kinds: ClassVar[frozenset[str]] = frozenset({"Value"})
    """The wire type of this class, and those of its base classes."""
    types: ClassVar[dict[str, type[Value]]] = {}
    family: ClassVar[str] = "values"
    """The family of the wire type, one of `FAMILIES`."""
    _pack_code: ClassVar[str] = ""
    """The digest of the code of the node pack that declares the class, which the registry sets; empty for
    Safelight's own classes."""
    lossless: ClassVar[bool] = False
    """True if `unpack` restores a value exactly. Subclasses do not inherit it."""

    def __init_subclass__(
        cls, wire: str | None = None, family: str | None = None, lossless: bool = False, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        cls.lossless, cls._pack_code = lossless, ""
        if family is not None:
            cls.family = family
        if cls.family not in FAMILIES:
            raise TypeError(
                f"{cls.__name__}: {family!r} is not a family of wire types; use one of {', '.join(FAMILIES)}"
            )
        cls.wire = (
            wire if wire is not None else vars(cls).get("wire", cls.__name__)
        )  # its own name, after a reload
        if not isinstance(cls.wire, str) or not _WIRE.fullmatch(cls.wire) or cls.wire in _PLAIN:
            raise TypeError(
                f"{cls.__name__}: {cls.wire!r} cannot name a wire type; use at most 64 letters,"
                f' digits, dashes and slashes, such as wire="my_pack/{cls.__name__}"'
            )
        taken = Value.types.get(cls.wire)
        if taken is not None and _declared(taken) != _declared(cls):
            raise TypeError(
                f"the wire type {cls.wire} is {_declared(taken)} already;"
                f" name this one otherwise, such as"
                f' class {cls.__name__}(Value, wire="my_pack/{cls.__name__}")'
            )
        cls.kinds = frozenset({cls.wire}).union(
            *(base.kinds for base in cls.__bases__ if issubclass(base, Value))
        )
        Value.types[cls.wire] = cls

    def pack(self) -> Packed:
        """Convert this value to bytes.

        Raises:
            TypeError: the class does not define `pack`.
        """
        raise TypeError(f"{type(self).__name__} has no pack(); define its conversion to bytes")

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """Restore a value from the `meta` of its `Packed`, and the bytes of each part keyed by its name.

        Raises:
            TypeError: the class does not define `unpack`.
        """
        raise TypeError(f"{cls.__name__} has no unpack(); define its conversion from bytes")

    @classmethod
    def adopt(cls, value: object) -> Self | None:
        """Convert another value that a node returned, such as an array, to this class; None if it cannot be.

        Raises:
            TypeError: the value is almost convertible; the message says what to return instead.
        """
        return None

    def summary(self) -> str:
        """Describe the value in a few words for a table or a tooltip, such as `512 x 512, 4 pictures`."""
        return self.wire

    def preview(self) -> object:
        """Return a view of the value for users: a Pillow image or JSON; None if there is only the summary."""
        return None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.is_instance_schema((cls, _Kind(cls.wire)), cls_repr=cls.__name__)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        return {"x-wire": cls.wire}

    @property
    def nbytes(self) -> int:
        """The size of this value's arrays and tensors in bytes, for the limit on results in memory."""
        return sum(int(getattr(held, "nbytes", 0)) for held in arrays(self))


class _Kind:
    """Stands for a wire type in `isinstance`: objects made before a reload of their pack match it, too."""

    def __init__(self, wire: str) -> None:
        self._wire = wire

    def __instancecheck__(self, value: object) -> bool:
        return isinstance(value, Value) and self._wire in value.kinds


_WIRE = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]{0,63}")
_PLAIN = frozenset({"Value", "any", "bool", "int", "float", "text", "json", "list"})


def _declared(cls: type) -> str:
    """Return the module and name of a class, without the number that each reload of its pack changes."""
    return re.sub(r"@\d+", "", f"{cls.__module__}.{cls.__qualname__}")


def summary_of(value: object) -> str:
    """Describe any wire value in one line: the summary of a `Value`, or the beginning of its JSON.

    Never raises, even if the summary of a value class fails.
    """
    try:
        if isinstance(value, Value):
            return " ".join(str(value.summary()).split())
        if isinstance(value, list | tuple) and holds_value(value):
            return f"{len(value)} x {summary_of(value[0])}"
        text = _beginning(value)
    except Exception:  # the code of a node pack may raise anything
        return wire_of(value)
    return text if len(text) <= SUMMARY else text[: SUMMARY - 1] + "…"


SUMMARY = 60
"""The maximum length of the summary of a JSON value."""

_FOR_PEOPLE = json.JSONEncoder(ensure_ascii=False)


def _beginning(value: object) -> str:
    """A plain value as JSON, or the beginning of it: a long list is not encoded whole."""
    if isinstance(value, str):
        return _FOR_PEOPLE.encode(value[: SUMMARY + 1])
    text = ""
    for part in _FOR_PEOPLE.iterencode(value):
        text += part
        if len(text) > SUMMARY:
            break
    return text


def arrays(value: object) -> Iterator[Any]:
    """Yield every array and tensor inside a value, from its fields, lists and dicts."""
    if isinstance(value, int | float | str):
        return
    if isinstance(value, Value):
        fields = getattr(value, "__dataclass_fields__", None)
        for name in fields if fields is not None else vars(value):
            yield from arrays(getattr(value, name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from arrays(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from arrays(item)
    elif hasattr(value, "nbytes"):
        yield value


def on_host(value: Any) -> Any:
    """Copy the tensors of a value to the host. If they are there already, the same object is returned."""
    if isinstance(value, int | float | str | bytes):
        return value
    if isinstance(value, Value):
        fields = getattr(value, "__dataclass_fields__", {})
        held = {name: getattr(value, name) for name in fields}
        moved = {name: on_host(item) for name, item in held.items()}
        changed = {name: item for name, item in moved.items() if item is not held[name]}
        return dataclasses.replace(value, **changed) if changed else value  # type: ignore[type-var]
    if isinstance(value, list | tuple):
        items = [on_host(item) for item in value]
        if all(item is before for item, before in zip(items, value, strict=True)):
            return value
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        values = {name: on_host(item) for name, item in value.items()}
        return value if all(values[name] is item for name, item in value.items()) else values
    on_device = hasattr(value, "cpu") and str(getattr(value, "device", "cpu")) != "cpu"
    return value.cpu() if on_device else value


def sorted_keys(value: Any) -> Any:
    """Convert a JSON value: tuples become lists, and dicts are sorted by key.

    So nodes cannot depend on the order of a dict, which digests and keys ignore.

    Raises:
        TypeError: a key of a dict is not text, which JSON requires.
    """
    if isinstance(value, list | tuple):
        return [sorted_keys(item) for item in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} of a dict is not text")
        return {key: sorted_keys(value[key]) for key in sorted(value)}
    return value


def holds_value(value: object) -> bool:
    """Return True if a value is a `Value`, or a list with a `Value` anywhere in it."""
    if isinstance(value, list | tuple):
        return any(map(holds_value, value))
    return isinstance(value, Value)


def wire_of(value: object) -> str:
    """Return the name of a value's wire type, such as `Latent`, `int` or `list`."""
    return value.wire if isinstance(value, Value) else type(value).__name__


def nbytes(value: object) -> int:
    """Estimate the memory that a wire value takes, in bytes; at least 64."""
    if isinstance(value, int | float):
        return 64
    if isinstance(value, str | bytes):
        return 64 + len(value)
    total = 64
    if isinstance(value, Value):
        total += value.nbytes
    elif isinstance(value, list | tuple):
        for item in value:
            total += nbytes(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            total += nbytes(key) + nbytes(item)
    return total
