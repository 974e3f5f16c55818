"""Reads and writes embedding files in the formats of other tools."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save

from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.embedding import NOTES, ONLY, describe_embedding, notes_of
from nodes.sd.formats.picture import read_picture
from nodes.sd.formats.read import read_tensors, recognised
from nodes.sd.formats.safetensors_metadata import with_metadata
from nodes.sd.formats.tensors import Tensors

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from nodes.sd.embeddings.embedding import Embedding

_IN_FILES = {"t5": "t5xxl"}
"""The names of text encoders in files, where they differ: ComfyUI knows T5 by this name only."""
_BY_WIDTH = {1280: "clip_g", 4096: "t5"}
_FAMILY = {768: "stable-diffusion-v1", 1024: "stable-diffusion-v2-512"}


def read_embedding(path: Path) -> Tensors:
    """Read the tensors of an embedding file, which may be a picture.

    Raises:
        BadFileError: the file cannot be read, or is a picture without an embedding.
    """
    if recognised(path) != "picture":
        return read_tensors(path)
    hidden = read_picture(path)
    if hidden is None:
        raise BadFileError("not_an_embedding", f"{path} is a picture without an embedding in it.")
    return hidden


def open_embedding(path: Path) -> dict[str, Any]:
    """Read the embedding in a file; return the fields of an `Embedding`.

    Raises:
        BadFileError: the file cannot be read, or contains several embeddings.
    """
    tensors = read_embedding(path)
    described = describe_embedding(tensors)
    if len(described.terms) != 1:
        names = ", ".join(term.name or "*" for term in described.terms)
        message = (
            f"{path} contains several embeddings ({names}), and one is wanted. LoadEmbeddings reads all."
        )
        raise BadFileError("several_embeddings", message)
    (term,) = described.terms
    vectors = {}
    for encoder, found in term.vectors.items():
        name = _BY_WIDTH.get(found.width, "clip_l") if encoder == ONLY else encoder
        pieces = [tensors[piece].float().reshape(-1, found.width) for piece in found.tensors]
        vectors[name] = torch.cat(pieces)
    return {
        "name": term.name or path.stem,
        "vectors": vectors,
        "step": described.step,
        "base_hash": described.base_hash,
        "base_name": described.base_name,
        "notes": notes_of(tensors),
    }


def as_safetensors(embedding: Embedding) -> bytes:
    """Convert an embedding to safetensors for A1111, ComfyUI, kohya and InvokeAI, with its metadata.

    The key is `emb_params` for one text encoder, and the encoder's name for several (kohya's layout;
    `t5xxl` for T5, as in ComfyUI).

    Raises:
        ValueError: it has no vectors, or they are not finite.
    """
    vectors = _checked(embedding)
    metadata = {str(key): str(value) for key, value in (embedding.notes or {}).items()}
    metadata |= {"format": "pt", "modelspec.title": embedding.name, "safelight.name": embedding.name}
    if embedding.step is not None:
        metadata["safelight.step"] = str(embedding.step)
    if embedding.base_hash is not None:
        metadata["safelight.base_hash"] = embedding.base_hash
    if embedding.base_name is not None:
        metadata["safelight.base_name"] = embedding.base_name
    if len(vectors) == 1:
        (only,) = vectors.values()
        if only.shape[1] in _FAMILY:
            metadata.setdefault("modelspec.architecture", f"{_FAMILY[only.shape[1]]}/textual-inversion")
        return with_metadata(save({"emb_params": only}), metadata)
    metadata.setdefault("modelspec.architecture", "stable-diffusion-xl-v1-base/textual-inversion")
    return with_metadata(save(_named(vectors)), metadata)


def as_pt(embedding: Embedding) -> bytes:
    """Convert an embedding to A1111's own format: a pickle of dicts, numbers and one tensor.

    With several text encoders it is a dict of their names and vectors (`clip_l`, `clip_g`), which A1111 and
    ComfyUI read for SDXL.

    Raises:
        ValueError: it has no vectors, or they are not finite.
    """
    vectors = _checked(embedding)
    file = io.BytesIO()
    torch.save(_named(vectors) if len(vectors) > 1 else _a1111(embedding, _only(embedding)), file)
    return file.getvalue()


def as_bin(embedding: Embedding) -> bytes:
    """Convert an embedding to diffusers' `learned_embeds.bin`: a pickle with the vectors under the name.

    The format has no place for notes. With several text encoders, the content is that of `as_pt`; diffusers'
    scripts for SDXL read the vectors by the names of the encoders.

    Raises:
        ValueError: as `as_pt`.
    """
    vectors = _checked(embedding)
    file = io.BytesIO()
    torch.save(_named(vectors) if len(vectors) > 1 else {embedding.name: _only(embedding)}, file)
    return file.getvalue()


def as_png(embedding: Embedding, picture: NDArray[numpy.uint8]) -> bytes:
    """Hide an embedding in a picture, as A1111 does; return the bytes of the PNG. See `hidden`.

    Args:
        embedding: the embedding.
        picture: uint8 [height, width, 3].

    Raises:
        ValueError: the embedding has vectors for several text encoders or cannot be written (see `as_pt`), or
            the picture is too small.
    """
    from nodes.sd.embeddings.hidden_in_picture import hidden

    only = _only(embedding)
    content = _a1111(embedding, {"TORCHTENSOR": only.tolist()})
    base = f" · {embedding.base_name} [{embedding.base_hash}]" if embedding.base_name else ""
    steps = "" if embedding.step is None else f" {embedding.step}s"
    return hidden(picture, content, only, f"<{embedding.name}>{base} · {len(only)}v{steps}")


def _a1111(embedding: Embedding, vectors: object) -> dict[str, Any]:
    """Make the dict that A1111's embedding files contain; A1111 ignores the notes in it."""
    notes = {str(key): str(value) for key, value in sorted((embedding.notes or {}).items())}
    return {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": vectors},
        "name": embedding.name,
        "step": embedding.step,
        "sd_checkpoint": embedding.base_hash,
        "sd_checkpoint_name": embedding.base_name,
        **({NOTES: notes} if notes else {}),
    }


def _named(vectors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the text encoders of vectors to their names in files."""
    return {_IN_FILES.get(name, name): rows for name, rows in vectors.items()}


def _only(embedding: Embedding) -> torch.Tensor:
    """Return the vectors of an embedding that has vectors for one text encoder.

    Raises:
        ValueError: the embedding has vectors for several text encoders or no vectors, or contains NaN or
            infinity.
    """
    vectors = _checked(embedding)
    if len(vectors) != 1:
        raise ValueError(
            f"the embedding {embedding.name!r} is for several text encoders; a picture can hold those of only"
            " one"
        )
    return next(iter(vectors.values()))


def _checked(embedding: Embedding) -> dict[str, torch.Tensor]:
    vectors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in embedding.vectors.items()}
    if not vectors or not all(tensor.dim() == 2 and tensor.numel() for tensor in vectors.values()):
        raise ValueError(f"the embedding {embedding.name!r} has no vectors")
    if not all(torch.isfinite(tensor).all() for tensor in vectors.values()):
        raise ValueError(f"the embedding {embedding.name!r} contains NaN or infinity; its training failed")
    return vectors
