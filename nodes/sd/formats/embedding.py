"""Recognises the embedding files of every tool, and describes their terms (words) and vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.kinds import kind_of
from nodes.sd.formats.tensors import Entry, Named, Tensors

ONLY = "only"
"""The key for vectors whose file names no text encoder; they are for the encoder of the same width."""

ENCODERS = {"clip_l": "clip_l", "clip_g": "clip_g", "t5": "t5", "t5xxl": "t5"}
"""The text encoders by the names that files give them; `clip_l` is the only one of SD 1. OneTrainer and
diffusers' scripts write `t5`, ComfyUI reads `t5xxl`."""

MOST_VECTORS = 75
"""The number of tokens in a chunk of a prompt, and so the largest number of vectors."""

NOTES = "metadata"
"""The key under which Safelight adds notes to files in A1111's format, which has no place for them."""

_WIDTHS = {768: "SD 1", 1024: "SD 2", 1280: "SDXL", 4096: "SD 3 or FLUX.1"}
_MOST_WIDTH = 16_384
_KOHYA = {"emb_params": "kohya", "emp_params": "OneTrainer"}
_MOST_TERMS = 64


@dataclass(frozen=True)
class Vectors:
    """The vectors of a term for one text encoder."""

    tensors: tuple[str, ...]
    """The names of the tensors, each [n, width] or [width], in order."""
    count: int
    width: int


@dataclass(frozen=True)
class Term:
    """One word (embedding) that an embedding file adds to the vocabulary."""

    name: str | None
    """The name in the file, or the key of the tensor; None if the file has neither."""
    vectors: Mapping[str, Vectors]
    """The vectors by text encoder: `clip_l`, `clip_g`, `t5`, or `ONLY`."""

    @property
    def count(self) -> int:
        """The number of tokens that the term takes in a prompt."""
        return max(vectors.count for vectors in self.vectors.values())


@dataclass(frozen=True)
class Described:
    """The description of an embedding file; it does not contain the vectors themselves."""

    format: str
    terms: tuple[Term, ...]
    step: int | None = None
    """The number of training steps; None if the file does not have it."""
    base_hash: str | None = None
    """The first digits of the hash of the model that the embedding was trained on; None if unknown."""
    base_name: str | None = None

    @property
    def family(self) -> str | None:
        """The model family, such as `SD 1`, by the widths of the vectors; None if no known model has them."""
        widths = {vectors.width for term in self.terms for vectors in term.vectors.values()}
        known = [_WIDTHS[width] for width in sorted(widths) if width in _WIDTHS]
        return known[-1] if known else None


def describe_embedding(tensors: Tensors) -> Described:
    """Describe an embedding file of any tool.

    The formats, in the order in which they are tried: A1111 and the original repository (`string_to_param`),
    kohya (`emb_params`), OneTrainer (`emp_params`), trainers for several encoders (`clip_l`, `clip_g`, `t5`,
    `t5xxl`), diffusers (a tensor for each token), and lists of these.

    Raises:
        BadFileError: the file is not an embedding, or cannot be used. The message names the file and the
            tensor.
    """
    tree = tensors.tree
    if isinstance(tree, list):
        return _several(tensors, tree)
    if not isinstance(tree, dict):
        raise _bad(tensors, "not_an_embedding", "contains no embedding")
    return _described(tensors, tree)


def notes_of(tensors: Tensors) -> dict[str, str]:
    """Return the notes in an embedding file, such as its licence.

    They are the metadata of a safetensors file, or the notes that Safelight adds to A1111's format.
    """
    if tensors.metadata or not isinstance(tensors.tree, dict):
        return dict(tensors.metadata)
    found = tensors.tree.get(NOTES)
    if not isinstance(found, dict):
        return {}
    return {key: text for key, text in found.items() if isinstance(key, str) and isinstance(text, str)}


def _described(tensors: Tensors, tree: dict[Any, Any]) -> Described:
    if outputs := [key for key in tree if isinstance(key, str) and key.endswith("_out")]:
        if {key.removesuffix("_out") for key in outputs} & {*_KOHYA, *ENCODERS}:
            raise _bad(
                tensors,
                "output_embedding",
                f"contains vectors for the output of the text encoder ({outputs[0]}), which Safelight does"
                " not apply",
            )
    if "string_to_param" in tree:
        return _a1111(tensors, tree)
    for key, tool in _KOHYA.items():
        if key in tree:
            term = Term(_own(tensors, "name"), {ONLY: _vectors(tensors, tree[key], key)})
            return Described(tool, (term,), *_trained(tensors, tree))
    if any(encoder in tree for encoder in ENCODERS):
        named = [name for name in ENCODERS if name in tree]
        if len({ENCODERS[name] for name in named}) < len(named):
            raise _bad(tensors, "bad_embedding", "contains vectors for T5 twice, as t5 and t5xxl")
        vectors = {ENCODERS[name]: _vectors(tensors, tree[name], name) for name in named}
        if len({found.count for found in vectors.values()}) > 1:
            counts = ", ".join(f"{found.count} for {name}" for name, found in vectors.items())
            raise _bad(tensors, "bad_embedding", f"has different numbers of vectors: {counts}")
        term = Term(_own(tensors, "name"), vectors)
        return Described("multi-encoder", (term,), *_trained(tensors, tree))
    if tree and len(tree) <= _MOST_TERMS and all(isinstance(value, Named) for value in tree.values()):
        if kind_of(tensors) == "embedding":
            terms = [
                Term(str(key), {ONLY: _vectors(tensors, value, str(key))}) for key, value in tree.items()
            ]
            return Described("diffusers", tuple(terms))
    kind = kind_of(tensors)
    what = (
        f"contains a {kind.replace('_', ' ')}, not an embedding"
        if kind not in ("embedding", "unknown")
        else ""
    )
    raise _bad(tensors, "not_an_embedding", what or "contains no embedding")


def _a1111(tensors: Tensors, tree: dict[Any, Any]) -> Described:
    params = tree["string_to_param"]
    if not isinstance(params, dict) or not params or len(params) > _MOST_TERMS:
        raise _bad(tensors, "bad_embedding", "has no tensor under string_to_param")
    name = _text(tree.get("name"))
    terms = []
    for key, value in params.items():
        # A1111 rejects several; here each is a term. The usual key '*' is not a name.
        own = None if key == "*" else str(key)
        terms.append(
            Term(name if len(params) == 1 and name else own, {ONLY: _vectors(tensors, value, str(key))})
        )
    kind = "A1111 picture" if tensors.format == "picture" else "A1111"
    return Described(
        kind,
        tuple(terms),
        _step(tree),
        _text(tree.get("sd_checkpoint")),
        _text(tree.get("sd_checkpoint_name")),
    )


def _several(tensors: Tensors, tree: list[Any]) -> Described:
    """Describe a list of embeddings of equal width, which form one embedding (ComfyUI)."""
    found = [_described(tensors, item) for item in tree if isinstance(item, dict)]
    pieces = list(_pieces(found))
    if not pieces or len(found) != len(tree):
        raise _bad(tensors, "not_an_embedding", "contains a list with items that are not embeddings")
    if len({vectors.width for vectors in pieces}) > 1:
        raise _bad(tensors, "bad_embedding", "contains a list of embeddings of different widths")
    joined = Vectors(
        tuple(name for vectors in pieces for name in vectors.tensors),
        sum(vectors.count for vectors in pieces),
        pieces[0].width,
    )
    if joined.count > MOST_VECTORS:
        raise _too_many(tensors, "the list", joined.count)
    return Described("list", (Term(None, {ONLY: joined}),))


def _pieces(found: list[Described]) -> Iterator[Vectors]:
    for described in found:
        for term in described.terms:
            yield from term.vectors.values()


def _vectors(tensors: Tensors, value: object, called: str) -> Vectors:
    """Check that a tensor has usable vectors, and describe them; `called` is its name in messages."""
    label = repr(called) if len(called) <= 60 else repr(called[:60] + "…")
    if not isinstance(value, Named):
        raise _bad(tensors, "bad_embedding", f"has no tensor under {label}")
    entry: Entry = tensors.entries[value.name]
    if not entry.floating:
        raise _bad(tensors, "bad_embedding", f"contains integers under {label}, not vectors")
    if len(entry.shape) not in (1, 2) or not entry.count:
        raise _bad(tensors, "bad_embedding", f"contains a tensor of shape {list(entry.shape)} under {label}")
    count, width = (1, *entry.shape)[-2:]
    if count > MOST_VECTORS:
        raise _too_many(tensors, label, count)
    if width > _MOST_WIDTH:
        raise _bad(
            tensors,
            "bad_embedding",
            f"has vectors of width {width:,} under {label}; no known model has this width",
        )
    if not tensors.finite(value.name):
        raise _bad(tensors, "not_finite", f"contains NaN or infinity under {label}; its training failed")
    return Vectors((value.name,), count, width)


def _too_many(tensors: Tensors, label: str, count: int) -> BadFileError:
    room = f"a prompt chunk has {MOST_VECTORS} tokens"
    return _bad(tensors, "too_many_vectors", f"has {count:,} vectors under {label}; {room}")


def _step(tree: Mapping[Any, Any]) -> int | None:
    step = tree.get("step")
    return step if type(step) is int else None


def _own(tensors: Tensors, key: str) -> str | None:
    """Return the field `safelight.KEY` of the metadata; None if it is missing or empty."""
    return _text(tensors.metadata.get(f"safelight.{key}"))


def _trained(tensors: Tensors, tree: Mapping[Any, Any]) -> tuple[int | None, str | None, str | None]:
    """Return the training step, and the hash and name of the base model; None for unknown ones."""
    step = _own(tensors, "step")
    number = int(step) if step and step.isdecimal() and len(step) < 16 else _step(tree)
    return number, _own(tensors, "base_hash"), _own(tensors, "base_name")


def _text(value: object) -> str | None:
    return value.strip()[:200] or None if isinstance(value, str) else None


def _bad(tensors: Tensors, code: str, what: str) -> BadFileError:
    return BadFileError(code, f"{tensors.path} {what}.")
