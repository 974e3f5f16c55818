"""Embeddings as files that other tools read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save

from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.embedding import ONLY, describe_embedding
from nodes.sd.formats.picture import read_picture
from nodes.sd.formats.read import read_tensors, recognised
from nodes.sd.formats.tensors import Tensors

if TYPE_CHECKING:
    from nodes.embedding import Embedding

_BY_WIDTH = {1280: "clip_g", 4096: "t5"}
_FAMILY = {768: "stable-diffusion-v1", 1024: "stable-diffusion-v2-512"}


def read_embedding(path: Path) -> Tensors:
    """The tensors of an embedding's file, which may be a picture.

    Raises:
        BadFileError: it cannot be read, or is a picture without an embedding.
    """
    if recognised(path) != "picture":
        return read_tensors(path)
    hidden = read_picture(path)
    if hidden is None:
        raise BadFileError("not_an_embedding", f"{path} is a picture without an embedding in it.")
    return hidden


def open_embedding(path: Path) -> dict[str, Any]:
    """The one embedding of a file, as the fields of an `Embedding`.

    Raises:
        BadFileError: it cannot be read, or holds several.
    """
    tensors = read_embedding(path)
    described = describe_embedding(tensors)
    if len(described.terms) != 1:
        names = ", ".join(str(term.name) for term in described.terms)
        raise BadFileError("several_embeddings", f"{path} holds several embeddings ({names}), not one.")
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
        "notes": dict(tensors.metadata),
    }


def as_safetensors(embedding: Embedding) -> bytes:
    """An embedding as A1111, ComfyUI, kohya and InvokeAI read it, with what is known of it as metadata.

    For one text encoder the key is `emb_params`, for several it is each encoder's name (kohya's layout).

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
            metadata["modelspec.architecture"] = f"{_FAMILY[only.shape[1]]}/textual-inversion"
        return save({"emb_params": only}, metadata)
    metadata["modelspec.architecture"] = "stable-diffusion-xl-v1-base/textual-inversion"
    return save(vectors, metadata)


def as_pt(embedding: Embedding) -> bytes:
    """An embedding as A1111 itself writes it: a pickle of plain dicts, numbers and one tensor.

    Raises:
        ValueError: it has vectors for several text encoders, or none, or they are not finite.
    """
    vectors = _checked(embedding)
    if len(vectors) != 1:
        raise ValueError(f"{embedding.name!r} is for several text encoders; save it as safetensors")
    (only,) = vectors.values()
    file = io.BytesIO()
    torch.save(
        {
            "string_to_token": {"*": 265},
            "string_to_param": {"*": only},
            "name": embedding.name,
            "step": embedding.step,
            "sd_checkpoint": embedding.base_hash,
            "sd_checkpoint_name": embedding.base_name,
        },
        file,
    )
    return file.getvalue()


def _checked(embedding: Embedding) -> dict[str, torch.Tensor]:
    vectors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in embedding.vectors.items()}
    if not vectors or not all(tensor.dim() == 2 and tensor.numel() for tensor in vectors.values()):
        raise ValueError(f"the embedding {embedding.name!r} has no vectors")
    if not all(torch.isfinite(tensor).all() for tensor in vectors.values()):
        raise ValueError(f"the embedding {embedding.name!r} holds NaN or infinity: its training failed")
    return vectors
