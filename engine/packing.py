"""Converts the values on wires to bytes and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import isfinite

from engine.errors import AuthorError, short
from engine.values import Json, Packed, Part, Value, canonical, holds_value, sorted_keys


def pack(value: object) -> Packed:
    """Convert a wire value to bytes: a `Packed` of JSON and of binary parts.

    A `Value` is converted by the method `pack` of its class.

    Raises:
        TypeError: the value is neither a `Value`, nor JSON, nor a list of these.
        ValueError: a number in the value is NaN or infinite.
    """
    if isinstance(value, Value):
        packed = value.pack()
        if not isinstance(packed, Packed) or packed.type != value.wire:
            name = type(value).__name__
            message = (
                f"{name}.pack() returned {short(packed)}, which is not a Packed of the type {value.wire}"
            )
            raise AuthorError(message, type(value).pack, "return Packed(self.wire, ...)")
        return replace(packed, meta=sorted_keys(packed.meta))
    if isinstance(value, list | tuple) and holds_value(value):
        return joined([pack(item) for item in value])
    canonical(value)
    return Packed("json", value)  # type: ignore[arg-type]  # canonical has just proved it


def not_json(value: object) -> str | None:
    """Say what in plain data cannot be written as JSON in UTF-8: NaN, or half a character. None if nothing.

    Objects of classes are not examined: a `Value` defines its bytes itself.
    """
    if isinstance(value, str):
        if value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value):
            return None
        return "contains invalid Unicode (an unpaired surrogate)"
    if isinstance(value, float):
        return None if isfinite(value) else f"contains {value}, which is not a finite number"
    if isinstance(value, dict):
        return not_json([*value]) or not_json([*value.values()])
    return next(filter(None, map(not_json, value)), None) if isinstance(value, list | tuple) else None


def unpack(type: str, meta: Json, parts: Mapping[str, bytes]) -> object:
    """Restore a value from the fields of its `Packed`, with the bytes of each part keyed by its name.

    Raises:
        KeyError: no value class of this wire type is loaded.
    """
    if type == "json":
        return meta
    if type == "list":
        assert isinstance(meta, list)
        return [_item(n, item, parts) for n, item in enumerate(meta)]
    cls = Value.types[type]
    value: object = cls.unpack(meta, parts)
    if not isinstance(value, Value) or type not in value.kinds:
        message = f"{cls.__name__}.unpack() returned {short(value)}, which is not a {type}"
        raise AuthorError(message, cls.unpack, "return cls(...)")
    return value


def as_kept(value: object) -> object:
    """Return a value as a later run would read it from the store: after `pack` and `unpack`.

    A value of a lossless class is returned unchanged, and so is one that cannot be packed or unpacked, since
    no store keeps it.
    """
    if isinstance(value, Value):
        if value.lossless:
            return value
        try:
            packed = pack(value)
            return unpack(packed.type, packed.meta, {part.name: part.data for part in packed.parts})
        except Exception:  # the code of a node pack may raise anything; the store warns about it
            return value
    if isinstance(value, list) and holds_value(value):
        return [as_kept(item) for item in value]
    return value


def joined(items: Sequence[Packed]) -> Packed:
    """Join packed values into one packed list, equal to `pack` of the list of the values."""
    if all(item.type == "json" for item in items):
        return Packed("json", [item.meta for item in items])
    meta: Json = [{"type": item.type, "meta": item.meta, "parts": len(item.parts)} for item in items]
    parts = (
        Part(f"{n}/{part.name}", part.media, part.data) for n, item in enumerate(items) for part in item.parts
    )
    return Packed("list", meta, tuple(parts))


def split(packed: Packed) -> list[Packed]:
    """Split a packed list into its packed elements.

    Raises:
        TypeError: `packed` is not a list.
    """
    if packed.type == "json" and isinstance(packed.meta, list):
        return [Packed("json", item) for item in packed.meta]
    if packed.type != "list" or not isinstance(packed.meta, list):
        raise TypeError(f"a packed {packed.type} is not a list")
    items, at = [], 0
    for n, item in enumerate(packed.meta):
        assert isinstance(item, dict)
        assert isinstance(item["type"], str)
        assert isinstance(item["parts"], int)
        own = packed.parts[at : at + item["parts"]]
        at += item["parts"]
        parts = tuple(Part(part.name.removeprefix(f"{n}/"), part.media, part.data) for part in own)
        items.append(Packed(item["type"], item["meta"], parts))
    return items


def code_of_types(packed: Packed) -> str:
    """Return the digests of the node packs whose classes unpack this value, as one text.

    Empty for JSON and for Safelight's own classes. A change of the text means that the value might now be
    unpacked differently.
    """
    if packed.type == "list" and isinstance(packed.meta, list):
        names = {str(item["type"]) for item in _items(packed.meta)}
    else:
        names = {packed.type}
    codes = {
        code for name in names if (cls := Value.types.get(name)) is not None and (code := cls._pack_code)
    }
    return " ".join(sorted(codes))


def _items(meta: list[Json]) -> Iterator[dict[str, Json]]:
    """Yield the entries in the JSON of a packed list, including those of the lists inside it."""
    for item in meta:
        assert isinstance(item, dict)
        inner = item["meta"]
        if item["type"] == "list" and isinstance(inner, list):
            yield from _items(inner)
        else:
            yield item


def _item(n: int, item: Json, parts: Mapping[str, bytes]) -> object:
    assert isinstance(item, dict)
    assert isinstance(item["type"], str)
    prefix = f"{n}/"
    own = {name.removeprefix(prefix): data for name, data in parts.items() if name.startswith(prefix)}
    return unpack(item["type"], item["meta"], own)
