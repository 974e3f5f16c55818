"""Lists the user's files by name, without opening them, as the APIs of other tools do."""

from __future__ import annotations

from pathlib import Path

from engine.files import Files
from nodes.files import checkpoints, embedding_files, picture_files
from nodes.files.controlnet_files import CONTROLNETS
from nodes.files.patch_files import HYPERNETWORKS, LORAS
from nodes.files.upscaler_files import UPSCALERS
from nodes.sd.formats.scan import scan

MODEL_KINDS = (
    checkpoints.KIND,
    LORAS,
    embedding_files.KIND,
    "vae",
    "unet",
    "text_encoders",
    CONTROLNETS,
    HYPERNETWORKS,
    UPSCALERS,
)
_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


def model_names(files: Files, kind: str) -> list[str]:
    """List the names of the model files of a kind, sorted; the embedded model is the last checkpoint."""
    names = {
        item.name
        for folder in files.folders(kind)
        for item in scan(Path(folder), pictures=kind == embedding_files.KIND)
        if item.problem is None
    }
    return sorted(names) + ([checkpoints.EMBEDDED] if kind == checkpoints.KIND else [])


def picture_names(files: Files) -> list[str]:
    """List the names of the pictures directly in the inputs folder, sorted."""
    return [name for name in files.names(picture_files.KIND) if Path(name).suffix.lower() in _PICTURES]
