"""What there is to say of a model's file without using it: kind, format, terms, base, or what is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from engine.errors import said
from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.embedding import Term, Vectors, describe_embedding
from nodes.sd.formats.kinds import kind_of
from nodes.sd.formats.pickled import read_all_pickled
from nodes.sd.formats.picture import read_picture
from nodes.sd.formats.read import read_tensors, recognised
from nodes.sd.formats.tensors import Tensors
from nodes.sd.lora.describe import describe, names_of, shapes_of

VERSION = 2
"""Raise it when the same bytes give other facts."""

_FAMILIES = {"sd1": "SD 1", "sd2": "SD 2", "sdxl": "SDXL", "sd3": "SD 3", "flux": "Flux"}
_ALGORITHMS = {"lora": "LoRA", "loha": "LoHa", "lokr": "LoKr", "ia3": "IA³", "glora": "GLoRA", "oft": "OFT"}
_MOST_WORDS = 20
_MOST_RANKS = 3


@dataclass(frozen=True)
class Facts:
    """The facts of a file; they follow from its bytes alone, so its digest is enough to know them again."""

    kind: str
    """One of `kinds.Kind`, or `picture` for one without an embedding in it."""
    format: str = ""
    terms: tuple[Term, ...] = ()
    """What an embedding adds to the vocabulary."""
    words: tuple[str, ...] = ()
    """Words that a LoRA's maker says to use."""
    base: str | None = None
    """The family of models that it is for: `SD 1`, `SD 2`, `SDXL` …"""
    base_hash: str | None = None
    base_name: str | None = None
    step: int | None = None
    code: str | None = None
    """What is wrong, as a stable word; None if nothing is."""
    message: str | None = None
    """What is wrong, in words that follow the file's name."""

    def to_json(self) -> str:
        """These facts as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The facts that `to_json` made this of."""
        plain: dict[str, Any] = json.loads(text)
        terms = tuple(Term(term["name"], _vectors(term["vectors"])) for term in plain.pop("terms"))
        return cls(**{**plain, "terms": terms, "words": tuple(plain["words"])})


def _vectors(plain: Mapping[str, Any]) -> dict[str, Vectors]:
    return {
        name: Vectors(tuple(item["tensors"]), item["count"], item["width"]) for name, item in plain.items()
    }


def facts_of(paths: Sequence[Path]) -> list[Facts]:
    """The facts of some files, in their order; whatever is wrong with one is among its own."""
    found: dict[int, Facts] = {}
    pickles = []
    for n, path in enumerate(paths):
        try:
            kind = recognised(path)
            if kind == "pickle":
                pickles.append(n)
            elif kind == "picture":
                hidden = read_picture(path)
                found[n] = _facts(hidden) if hidden else Facts("picture")
            else:
                found[n] = _facts(read_tensors(path))
        except BadFileError as error:
            found[n] = _wrong(path, error)
        except Exception as error:  # libraries raise anything for a damaged picture; the other files go on
            found[n] = Facts("unknown", code="unreadable", message=f"cannot be read: {said(error)}")
    for n, read in zip(pickles, read_all_pickled([paths[n] for n in pickles]), strict=True):
        found[n] = _wrong(paths[n], read) if isinstance(read, BadFileError) else _facts(read)
    return [found[n] for n in range(len(paths))]


def _facts(tensors: Tensors) -> Facts:
    kind = kind_of(tensors)
    try:
        if kind == "embedding":
            described = describe_embedding(tensors)
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
    if kind == "unknown":
        return Facts(
            kind, tensors.format, code="unknown_kind", message="holds tensors of no kind that is known"
        )
    if kind == "lora":
        return _lora(tensors)
    return Facts(kind, tensors.format, base=_family(tensors) if kind == "checkpoint" else None)


def _lora(tensors: Tensors) -> Facts:
    told = describe(shapes_of(tensors.entries), tensors.metadata)
    if not told["modules"] and not told["embeddings"]:
        first = names_of(tensors)
        message = f"holds parts of a LoRA, and no whole module: its keys begin with {first}"
        return Facts("lora", tensors.format, code="bad_lora", message=message)
    kinds = [_ALGORITHMS.get(kind, kind) for kind in told["kinds"]]
    ranks = f", rank {' and '.join(map(str, told['ranks'][:_MOST_RANKS]))}" if told["ranks"] else ""
    name = tensors.metadata.get("ss_sd_model_name")
    return Facts(
        "lora",
        f"{' and '.join(kinds) or 'embeddings'}{ranks}",
        words=tuple(told["triggers"][:_MOST_WORDS]),
        base=_FAMILIES.get(told["base"]),
        base_name=name[:200] if name else None,
    )


def _family(tensors: Tensors) -> str:
    if any(name.startswith("conditioner.embedders.") for name in tensors):
        return "SDXL"
    if any(name.startswith("cond_stage_model.model.") for name in tensors):
        return "SD 2"
    return "SD 1"


def _wrong(path: Path, error: BadFileError, kind: str = "unknown") -> Facts:
    message = str(error).removeprefix(f"{path} ").removesuffix(".")
    return Facts(kind, code=error.code, message=message)
