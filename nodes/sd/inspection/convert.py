"""Converts model files to safetensors, piece by piece, so that large files need little memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.embedding import ONLY, Described, describe_embedding, notes_of
from nodes.sd.formats.kinds import kind_of
from nodes.sd.formats.picture import read_picture
from nodes.sd.formats.read import read_tensors, recognised
from nodes.sd.formats.tensors import Named, Tensors, weights_at

_CANNOT = "has a structure that cannot be stored as safetensors"


class Converted(NamedTuple):
    """A file converted to safetensors."""

    kind: str
    tensors: int
    left_out: int
    """The number of tensors that are not part of the model, such as optimizer states."""
    pieces: Iterator[bytes]
    """The bytes of the new file, in order."""


def convert(path: Path) -> Converted:
    """Convert a model file, or a picture with an embedding, to safetensors.

    Embeddings get the layout of A1111, ComfyUI, kohya and InvokeAI. Of checkpoints, only the weights are
    kept. The numbers do not change.

    Raises:
        BadFileError: the file cannot be read, or its content cannot be stored as safetensors.
    """
    hidden = read_picture(path) if recognised(path) == "picture" else read_tensors(path)
    if hidden is None:
        raise BadFileError("not_tensors", f"{path} is a picture without an embedding in it.")
    kind = kind_of(hidden)
    metadata = dict(hidden.metadata) or {"format": "pt"}
    if kind == "embedding":
        described = describe_embedding(hidden)
        names = _embedding_names(path, described)
        metadata |= notes_of(hidden) | _about(described)
    elif kind == "hypernetwork":
        raise BadFileError("not_convertible", f"{path} is a hypernetwork, which {_CANNOT}.")
    else:
        names = {name: name for name in _weights(hidden)}
        if not names:
            raise BadFileError("not_convertible", f"{path} contains no named weights.")
    return Converted(kind, len(names), len(hidden) - len(names), _pieces(hidden, names, metadata))


def _embedding_names(path: Path, described: Described) -> dict[str, str]:
    """Map the tensor names of an embedding in the new file to those in the old file.

    Raises:
        BadFileError: the file is a list of embeddings.
    """
    names: dict[str, str] = {}
    for term in described.terms:
        for encoder, vectors in term.vectors.items():
            if len(vectors.tensors) != 1:
                raise BadFileError("not_convertible", f"{path} is a list of embeddings, which {_CANNOT}.")
            if encoder != ONLY:
                name = encoder
            else:
                name = "emb_params" if len(described.terms) == 1 else str(term.name)
            names[name] = vectors.tensors[0]
    return names


def _about(described: Described) -> dict[str, str]:
    about = {
        "safelight.name": described.terms[0].name if len(described.terms) == 1 else None,
        "safelight.step": described.step,
        "safelight.base_hash": described.base_hash,
        "safelight.base_name": described.base_name,
    }
    return {key: str(value) for key, value in about.items() if value is not None}


def _weights(tensors: Tensors) -> list[str]:
    """Return the names of a model's weights: those of its state dict if it has one, otherwise all."""
    kept = tensors.tree
    for key in weights_at(kept):
        kept = kept[key]
    if not isinstance(kept, dict):
        return []
    return [value.name for value in kept.values() if isinstance(value, Named)]


def _pieces(tensors: Tensors, names: dict[str, str], metadata: dict[str, str]) -> Iterator[bytes]:
    header: dict[str, object] = {"__metadata__": metadata}
    at = 0
    for name, own in names.items():
        entry = tensors.entries[own]
        header[name] = {"dtype": entry.dtype, "shape": entry.shape, "data_offsets": [at, at + entry.nbytes]}
        at += entry.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # aligns the numbers to their size
    yield len(text).to_bytes(8, "little")
    yield text
    for own in names.values():
        yield bytes(tensors.raw(own))
