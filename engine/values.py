"""What may travel on a wire, and how it becomes bytes and comes back."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def canonical(value: object) -> bytes:
    """The one spelling of a JSON value that digests and keys are taken of.

    Raises:
        ValueError: the value holds NaN or an infinity, which JSON cannot say.
        TypeError: the value is not JSON.
    """
    return _encode(value).encode()


_encode = json.JSONEncoder(
    ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":"), check_circular=False
).encode


def sha256(data: bytes) -> str:
    """The sha256 of some bytes, in hex: how blobs are named."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class Part:
    """One run of bytes of a packed value, such as a picture or a safetensors file."""

    name: str
    media: str
    """The media type, such as `image/png`; decides the suffix of a written file."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Packed:
    """A value as bytes: what a store keeps and a face writes to files."""

    type: str
    """The wire type; `json` for plain values, `list` for lists that hold values."""
    meta: Json
    parts: tuple[Part, ...] = ()

    @property
    def digest(self) -> str:
        """What the value is, in 64 hex digits: equal digests, equal values."""
        return digest_of(
            self.type, self.meta, ((part.name, part.media, sha256(part.data)) for part in self.parts)
        )


def digest_of(type: str, meta: Json, parts: Iterable[tuple[str, str, str]]) -> str:
    """The digest of a packed value from the digests of its parts, each (name, media type, sha256)."""
    return sha256(canonical([type, meta, [list(part) for part in parts]]))


class Value:
    """A thing on a wire that is more than JSON: a picture, a latent, a recipe for a model.

    Values are immutable: whoever receives one may read it and never write into it. A subclass is
    usually a frozen dataclass, and says how it becomes bytes (`pack`) and comes back (`unpack`).

    The class keyword `wire` names the wire type; without it the class's own name is used. What a value is,
    its wire type says and not its class: a pack that is read again declares the same type by a new class.
    """

    wire: ClassVar[str] = "Value"
    kinds: ClassVar[frozenset[str]] = frozenset({"Value"})
    """The wire types that it is one of: its own, and those of the value classes that it derives from."""
    types: ClassVar[dict[str, type[Value]]] = {}

    def __init_subclass__(cls, wire: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.wire = wire if wire is not None else vars(cls).get("wire", cls.__name__)  # its own, if made again
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
        """This value as bytes.

        Raises:
            TypeError: the class does not say how.
        """
        raise TypeError(f"{type(self).__name__} has no pack(): say how it becomes bytes")

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """The value that `pack` made these of.

        Raises:
            TypeError: the class does not say how.
        """
        raise TypeError(f"{cls.__name__} has no unpack(): say how it comes back from bytes")

    def summary(self) -> str:
        """A few words for a table or a tooltip, such as `512 x 512, 4 pictures`."""
        return self.wire

    def preview(self) -> object:
        """What a face shows of it where there is room: a PIL picture, JSON, or None for the summary alone."""
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
        """How much memory this value holds, in bytes, as far as the memory tier should count it."""
        return sum(int(getattr(held, "nbytes", 0)) for held in arrays(self))


class _Kind:
    """Stands for a wire type in `isinstance`: a class that is no longer the newest is still of its type."""

    def __init__(self, wire: str) -> None:
        self._wire = wire

    def __instancecheck__(self, value: object) -> bool:
        return isinstance(value, Value) and self._wire in value.kinds


_WIRE = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]{0,63}")
_PLAIN = frozenset({"Value", "any", "bool", "int", "float", "text", "json", "list"})


def _declared(cls: type) -> str:
    """Where a class is declared, whichever load of a user's pack it is from."""
    return re.sub(r"@\d+", "", f"{cls.__module__}.{cls.__qualname__}")


def summary_of(value: object) -> str:
    """A few words for any value of a wire: a value's own summary, or JSON cut to fit in a line.

    Never fails: what a value class says of itself is only for show.
    """
    try:
        if isinstance(value, Value):
            return " ".join(str(value.summary()).split())
        if isinstance(value, list | tuple) and _holds_value(value):
            return f"{len(value)} x {summary_of(value[0])}"
        text = _encode_for_people(value)
    except Exception:  # the code of a node pack may raise anything
        return wire_of(value)
    return text if len(text) <= SUMMARY else text[: SUMMARY - 1] + "…"


SUMMARY = 60
"""A summary of plain values has at most so many characters."""

_encode_for_people = json.JSONEncoder(ensure_ascii=False).encode


def arrays(value: object) -> Iterator[Any]:
    """Every array or tensor inside a value: attributes, lists and dicts are looked through."""
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


def pack(value: object) -> Packed:
    """Any value of a wire as bytes.

    Raises:
        TypeError: it is neither a `Value`, nor JSON, nor a list of these.
        ValueError: a number in it is NaN or infinite.
    """
    if isinstance(value, Value):
        return value.pack()
    if isinstance(value, list | tuple) and _holds_value(value):
        return joined([pack(item) for item in value])
    _encode(value)
    return Packed("json", value)  # type: ignore[arg-type]  # _encode has just proved it


def joined(items: Sequence[Packed]) -> Packed:
    """Packed values as one packed list; what `pack` makes of the list of them."""
    if all(item.type == "json" for item in items):
        return Packed("json", [item.meta for item in items])
    meta: Json = [{"type": item.type, "meta": item.meta, "parts": len(item.parts)} for item in items]
    parts = (
        Part(f"{n}/{part.name}", part.media, part.data) for n, item in enumerate(items) for part in item.parts
    )
    return Packed("list", meta, tuple(parts))


def split(packed: Packed) -> list[Packed]:
    """The elements of a packed list.

    Raises:
        TypeError: it is not a list.
    """
    if packed.type == "json" and isinstance(packed.meta, list):
        return [Packed("json", item) for item in packed.meta]
    if packed.type != "list" or not isinstance(packed.meta, list):
        raise TypeError(f"a packed {packed.type} is not a list")
    items, at = [], 0
    for n, told in enumerate(packed.meta):
        assert isinstance(told, dict)
        assert isinstance(told["type"], str)
        assert isinstance(told["parts"], int)
        own = packed.parts[at : at + told["parts"]]
        at += told["parts"]
        parts = tuple(Part(part.name.removeprefix(f"{n}/"), part.media, part.data) for part in own)
        items.append(Packed(told["type"], told["meta"], parts))
    return items


def _holds_value(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_holds_value, value))
    return isinstance(value, Value)


def unpack(type: str, meta: Json, parts: Mapping[str, bytes]) -> object:
    """The value that `pack` made these of.

    Raises:
        KeyError: no value class of this wire type is loaded.
    """
    if type == "json":
        return meta
    if type == "list":
        assert isinstance(meta, list)
        return [_item(n, item, parts) for n, item in enumerate(meta)]
    return Value.types[type].unpack(meta, parts)


def _item(n: int, item: Json, parts: Mapping[str, bytes]) -> object:
    assert isinstance(item, dict)
    assert isinstance(item["type"], str)
    prefix = f"{n}/"
    own = {name.removeprefix(prefix): data for name, data in parts.items() if name.startswith(prefix)}
    return unpack(item["type"], item["meta"], own)


def wire_of(value: object) -> str:
    """The wire type of a value at hand, in the words of `check`: `Latent`, `int`, `list`."""
    return value.wire if isinstance(value, Value) else type(value).__name__


def nbytes(value: object) -> int:
    """The memory that a value of a wire holds, in bytes; a floor of 64 for its object."""
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
