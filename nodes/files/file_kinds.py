"""Rejects files of another kind than the input expects, such as an embedding given as a LoRA."""

from __future__ import annotations

from pathlib import Path

from engine.errors import NodeError
from engine.files import Files
from nodes.files.known_files import facts
from nodes.sd.formats.sparse import is_sparse, sparse_message

NOUNS = {
    "embedding": "an embedding",
    "lora": "a LoRA",
    "checkpoint": "a checkpoint",
    "vae": "a VAE",
    "hypernetwork": "a hypernetwork",
    "unet": "a UNet or transformer",
    "text_encoder": "a text encoder",
    "controlnet": "a ControlNet",
    "upscaler": "an upscale model",
    "picture": "a picture without an embedding in it",
}
FOLDERS_BY_KIND = {
    "embedding": "embeddings",
    "lora": "loras",
    "checkpoint": "checkpoints",
    "vae": "vae",
    "hypernetwork": "hypernetworks",
    "unet": "unet",
    "text_encoder": "text_encoders",
    "controlnet": "controlnet",
    "upscaler": "upscale_models",
}
"""The folder in `models` for each kind of file."""

_USES = {
    "embedding": "load it with LoadEmbeddings",
    "lora": "apply it with ApplyLoRA",
    "hypernetwork": "apply it with ApplyHypernetwork",
    "upscaler": "load it with LoadUpscaler",
    "checkpoint": "load it with LoadModel",
    "vae": "load it with LoadVae",
    "unet": "load it with LoadUnet",
    "text_encoder": "load it with LoadTextEncoder",
}


def require_kind(files: Files, path: Path, kind: str, *, input: str, also: str | None = None) -> str:
    """Check that a file is of the expected kind; returns its sha256 in hex.

    Args:
        files: computes digests.
        path: the file.
        kind: the expected kind, one of the keys of `NOUNS`.
        input: the input that names the file, for error messages.
        also: another kind that is accepted, such as a checkpoint for a UNet.

    Raises:
        NodeError: `wrong_kind` if the file is of another kind; the file's own code, such as `truncated` or
            `unsafe_pickle`, if it cannot be read or used.
    """
    try:
        info = path.stat()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise NodeError(message, input=input, code="unreadable") from None
    if is_sparse(info):
        raise NodeError(f"{path} {sparse_message(info)}", input=input, code="sparse")
    digest = files.digest(path)
    found = facts(files, [(path, digest)])[digest]
    if found.kind not in (kind, also, "unknown") and found.code != "other_model":
        message = f"{path} is {NOUNS[found.kind]}, not {NOUNS[kind]}"
        raise NodeError(message, hint=_hint(found.kind), input=input, code="wrong_kind")
    if found.code is not None:
        raise NodeError(f"{path} {found.message}", input=input, code=found.code)
    return digest


def _hint(kind: str) -> str | None:
    """Return a hint with the folder for files of a kind and the node that loads them; None without either."""
    folder = FOLDERS_BY_KIND.get(kind)
    place = f"move it to models/{folder}" if folder else None
    return " and ".join(filter(None, (place, _USES.get(kind)))) or None
