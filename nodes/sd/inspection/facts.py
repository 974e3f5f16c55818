"""Finds facts about model files without loading them: kind, format, terms, base model, or the problem."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from engine.errors import error_text
from nodes.sd.families.family import columns
from nodes.sd.families.known import families
from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.embedding import Term, Vectors, describe_embedding
from nodes.sd.formats.kinds import kind_of
from nodes.sd.formats.other_models import other_model
from nodes.sd.formats.pickled import read_all_pickled
from nodes.sd.formats.picture import read_picture
from nodes.sd.formats.read import read_tensors, recognised
from nodes.sd.formats.tensors import Tensors
from nodes.sd.lora.describe import base_of_width, describe, names_of, shapes_of
from nodes.sd.models.part_files import network_family

VERSION = 8
"""The version of the facts; increase it when the same file gives other facts."""
THUMBNAIL = "modelspec.thumbnail"
"""The metadata of a safetensors file that holds a picture, as a `data:` address."""

_FAMILIES = {"sd1": "SD 1", "sd2": "SD 2", "sdxl": "SDXL", "sd3": "SD 3", "flux": "FLUX.1"}
_ALGORITHMS = {"lora": "LoRA", "loha": "LoHa", "lokr": "LoKr", "ia3": "IA³", "glora": "GLoRA", "oft": "OFT"}
_MOST_WORDS = 20
_MOST_RANKS = 3
_LARGEST_EMBEDDING = 16 << 20
"""The most bytes of an embedding file; 75 vectors of the largest width take 4 MB."""


@dataclass(frozen=True)
class Facts:
    """The facts about a model file. They depend only on its content, so they can be cached by its digest."""

    kind: str
    """One of `kinds.Kind`, or `picture` for a picture without an embedding in it."""
    format: str = ""
    terms: tuple[Term, ...] = ()
    """The terms that an embedding adds to the vocabulary."""
    words: tuple[str, ...] = ()
    """The trigger words in the metadata of a LoRA."""
    base: str | None = None
    """The model family: `SD 1`, `SD 2`, `SDXL` …"""
    base_hash: str | None = None
    base_name: str | None = None
    step: int | None = None
    has_picture: bool = False
    """True if its metadata holds a picture."""
    code: str | None = None
    """The code of the problem, a stable identifier; None if there is no problem."""
    message: str | None = None
    """The message about the problem, to follow the file's name; None if there is no problem."""

    def to_json(self) -> str:
        """Convert the facts to JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Restore facts from the JSON of `to_json`."""
        plain: dict[str, Any] = json.loads(text)
        terms = tuple(Term(term["name"], _vectors(term["vectors"])) for term in plain.pop("terms"))
        return cls(**{**plain, "terms": terms, "words": tuple(plain["words"])})


def _vectors(plain: Mapping[str, Any]) -> dict[str, Vectors]:
    return {
        name: Vectors(tuple(item["tensors"]), item["count"], item["width"]) for name, item in plain.items()
    }


def facts_of(paths: Sequence[Path]) -> list[Facts]:
    """Find the facts about several files, in their order. A problem with one does not stop the others."""
    found: dict[int, Facts] = {}
    pickles = []
    for n, path in enumerate(paths):
        try:
            kind = recognised(path)
            if kind == "pickle":
                pickles.append(n)
            elif kind == "picture":
                hidden = read_picture(path)
                found[n] = Facts("picture") if hidden is None else _facts(hidden)
            else:
                found[n] = _with_picture(read_tensors(path))
        except BadFileError as error:
            found[n] = _wrong(path, error)
        except Exception as error:  # image libraries raise any exception for a damaged picture
            found[n] = Facts("unknown", code="unreadable", message=f"cannot be read: {error_text(error)}")
    for n, read in zip(pickles, read_all_pickled([paths[n] for n in pickles]), strict=True):
        found[n] = _wrong(paths[n], read) if isinstance(read, BadFileError) else _facts(read)
    return [found[n] for n in range(len(paths))]


def _with_picture(tensors: Tensors) -> Facts:
    return replace(_facts(tensors), has_picture=THUMBNAIL in tensors.metadata)


def _facts(tensors: Tensors) -> Facts:
    kind = kind_of(tensors)
    try:
        if kind == "embedding":
            described = describe_embedding(tensors)
            size = tensors.identity.size
            if size > _LARGEST_EMBEDDING and tensors.format != "picture":
                message = (
                    f"has {size / 1e6:,.0f} MB; an embedding takes less than 4, so the file is suspicious"
                )
                return Facts(kind, described.format, code="too_large", message=message)
            return Facts(
                kind,
                described.format,
                described.terms,
                base=described.family,
                base_hash=described.base_hash,
                base_name=described.base_name,
                step=described.step,
            )
    except BadFileError as error:
        return _wrong(tensors.path, error, kind)
    if kind in ("unknown", "checkpoint", "unet") and (other := other_model(_shapes(tensors))) is not None:
        message = f"is {other}, which Safelight does not run"
        return Facts(kind, tensors.format, code="other_model", message=message)
    if kind == "unknown":
        message = f"is of no known kind; it contains {names_of(tensors) or 'no tensors'}"
        return Facts(kind, tensors.format, code="unknown_kind", message=message)
    if kind == "lora":
        return _lora(tensors)
    if kind == "controlnet":
        return Facts(kind, tensors.format, base=_controlnet_family(tensors))
    base = {"checkpoint": _family, "unet": _network_family}.get(kind)
    return Facts(kind, tensors.format, base=base and base(tensors))


def _lora(tensors: Tensors) -> Facts:
    table = describe(shapes_of(tensors.entries), tensors.metadata)
    if not table["modules"] and not table["embeddings"]:
        message = f"contains parts of a LoRA but no complete module (first keys: {names_of(tensors)})"
        return Facts("lora", tensors.format, code="bad_lora", message=message)
    kinds = [_ALGORITHMS.get(kind, kind) for kind in table["kinds"]]
    ranks = f", rank {' and '.join(map(str, table['ranks'][:_MOST_RANKS]))}" if table["ranks"] else ""
    name = tensors.metadata.get("ss_sd_model_name")
    return Facts(
        "lora",
        f"{' and '.join(kinds) or 'embeddings'}{ranks}",
        words=tuple(table["triggers"][:_MOST_WORDS]),
        base=_FAMILIES.get(table["base"]),
        base_name=name[:200] if name else None,
    )


def _family(tensors: Tensors) -> str | None:
    shapes = _shapes(tensors)
    known = (family.title for family in families() if family.layout.recognise(shapes) is not None)
    return next(known, None)


def _network_family(tensors: Tensors) -> str | None:
    found = network_family(_shapes(tensors))
    return None if found is None else found.title


def _controlnet_family(tensors: Tensors) -> str | None:
    return _FAMILIES.get(base_of_width(columns(_shapes(tensors), ("attn2.to_k.weight",))))


def _shapes(tensors: Tensors) -> dict[str, tuple[int, ...]]:
    return {name: entry.shape for name, entry in tensors.entries.items()}


def _wrong(path: Path, error: BadFileError, kind: str = "unknown") -> Facts:
    message = str(error).removeprefix(f"{path} ").removesuffix(".")
    return Facts(kind, code=error.code, message=message)
