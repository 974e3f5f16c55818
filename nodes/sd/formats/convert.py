"""Any file of tensors as a safetensors file, piece by piece so that a large one takes little memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.embedding import ONLY, Described, describe_embedding
from nodes.sd.formats.kinds import kind_of
from nodes.sd.formats.picture import read_picture
from nodes.sd.formats.read import read_tensors, recognised
from nodes.sd.formats.tensors import Named, Tensors

_CANNOT = "has a structure that safetensors cannot hold"


class Converted(NamedTuple):
    """A file as safetensors."""

    kind: str
    tensors: int
    left_out: int
    """Tensors that are not the model's: states of its training."""
    pieces: Iterator[bytes]
    """The new file, in order."""


def convert(path: Path) -> Converted:
    """Read any file of tensors, a pickle or a picture too, and say it as safetensors.

    Embeddings become what A1111, ComfyUI, kohya and InvokeAI read; of checkpoints the weights are kept, and
    what their training left beside them is not. No number changes.

    Raises:
        BadFileError: it cannot be read, or safetensors cannot say what it holds.
    """
    hidden = read_picture(path) if recognised(path) == "picture" else read_tensors(path)
    if hidden is None:
        raise BadFileError("not_tensors", f"{path} is a picture without an embedding in it.")
    kind = kind_of(hidden)
    metadata = dict(hidden.metadata) or {"format": "pt"}
    if kind == "embedding":
        described = describe_embedding(hidden)
        names = _embedding_names(path, described)
        metadata |= _about(described)
    elif kind == "hypernetwork":
        raise BadFileError("not_convertible", f"{path} is a hypernetwork, which {_CANNOT}.")
    else:
        names = {name: name for name in _weights(hidden)}
        if not names:
            raise BadFileError("not_convertible", f"{path} holds no weights under names of their own.")
    return Converted(kind, len(names), len(hidden) - len(names), _pieces(hidden, names, metadata))


def _embedding_names(path: Path, described: Described) -> dict[str, str]:
    """The tensors of an embedding, by what they are called in the new file."""
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
    """The names of a model's own tensors: all, or those under `state_dict` where there is such a thing."""
    tree = tensors.tree
    inner = tree.get("state_dict") if isinstance(tree, dict) else None
    kept = inner if isinstance(inner, dict) else tree
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
    text += b" " * (-len(text) % 8)  # so that the numbers begin at a multiple of their size
    yield len(text).to_bytes(8, "little")
    yield text
    for own in names.values():
        yield bytes(tensors.raw(own))
