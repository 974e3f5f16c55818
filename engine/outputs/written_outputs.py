"""The written outputs of a run, as data: their files, digests and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.values import Json, Packed, digest_of, sha256


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a declared output that is a list."""

    index: tuple[int, ...]
    """The index of the element in the list, and in each list inside it."""
    values: Mapping[str, Json]
    """The value of each swept input of the graph for this element."""
    files: tuple[Path, ...]
    digest: str
    value: Json = None
    """The value of the element if it is JSON."""
    is_json: bool = False

    def as_json(self) -> dict[str, object]:
        """Convert this element to the JSON of `--json`."""
        return {
            "index": list(self.index),
            "values": dict(self.values),
            "files": [str(file.absolute()) for file in self.files],
            **({"value": self.value} if self.is_json else {}),
            "digest": self.digest,
        }


@dataclass(frozen=True, slots=True)
class Written:
    """One declared output of a run, with its files or its JSON value."""

    type: str
    """The wire type: `json`, `list`, or the name of a value class such as `Image`."""
    files: tuple[Path, ...]
    digest: str
    value: Json = None
    """The value of the output if `type` is `json`."""
    elements: tuple[Element, ...] | None = None
    """The elements in order, if a node that goes through lists made the output; otherwise None."""
    partial: bool = False
    """True if elements are missing, because their steps failed or did not run."""
    summary: str = ""
    """A short description of the value if it is not JSON."""

    def as_json(self) -> dict[str, object]:
        """Convert this output to the JSON of `--json`."""
        tree: dict[str, object] = {
            "type": self.type,
            "files": [str(file.absolute()) for file in self.files],
        }
        if self.type == "json":
            tree["value"] = self.value
        tree["digest"] = self.digest
        if self.partial:
            tree["partial"] = True
        if self.summary:
            tree["summary"] = self.summary
        if self.elements is not None:
            tree["elements"] = [element.as_json() for element in self.elements]
        return tree


@dataclass(frozen=True, slots=True)
class Outline:
    """A packed value with digests in place of the bytes of its parts, from which the digest of the value and
    of a list that contains it can be computed."""

    type: str
    meta: Json
    parts: tuple[tuple[str, str, str], ...] = ()
    """The name, the media type and the SHA-256 of each part."""

    @classmethod
    def of(cls, packed: Packed) -> Outline:
        """Make the outline of a packed value."""
        parts = ((part.name, part.media, sha256(part.data)) for part in packed.parts)
        return cls(packed.type, packed.meta, tuple(parts))

    @classmethod
    def joined(cls, items: Sequence[Outline]) -> Outline:
        """Make the outline of a list from those of its elements."""
        if all(item.type == "json" for item in items):
            return cls("json", [item.meta for item in items])
        meta: Json = [{"type": item.type, "meta": item.meta, "parts": len(item.parts)} for item in items]
        parts = tuple(
            (f"{n}/{name}", media, sha) for n, item in enumerate(items) for name, media, sha in item.parts
        )
        return cls("list", meta, parts)

    @property
    def digest(self) -> str:
        """The SHA-256 of the value, as `Packed.digest`."""
        return digest_of(self.type, self.meta, self.parts)
