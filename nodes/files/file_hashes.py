"""Computes the hashes by which A1111 and kohya identify models and LoRAs."""

from __future__ import annotations

import hashlib
from pathlib import Path

from engine.errors import NodeError
from engine.file_facts import FactKind
from engine.files import Files

OLD_MODEL_HASH_LENGTH = 8
"""The number of digits of the model hash that A1111 used before 2023."""
_PIECE = 4 << 20
_LORA_HASH = FactKind("A1111 LoRA hash", 1)


def lora_hash(files: Files, path: Path, digest: str) -> str:
    """Return the hash by which A1111 identifies a LoRA file; `Lora hashes` has its first 12 digits.

    It is the hash in the file's metadata, else the sha256 of the bytes after the safetensors header, else the
    sha256 of the file (`NetworkOnDisk` in A1111's `extensions-builtin/Lora/network.py`). It is computed once
    for each content and then cached.

    Args:
        files: caches the hash.
        path: the file.
        digest: the sha256 of the file.
    """
    known = files.facts.recall(_LORA_HASH, [digest]).get(digest)
    if known is None:
        known = metadata_hash(path) or tensors_hash(path) or digest
        if _unchanged(files, path, digest):
            files.facts.remember(_LORA_HASH, {digest: known})
    return known


def _unchanged(files: Files, path: Path, digest: str) -> bool:
    try:
        return files.digest(path) == digest
    except NodeError:
        return False


def old_model_hash(path: Path) -> str:
    """Compute A1111's model hash from before 2023, that of the 64 KiB at offset 1 MiB.

    Empty if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            file.seek(1 << 20)
            return hashlib.sha256(file.read(1 << 16)).hexdigest()[:OLD_MODEL_HASH_LENGTH]
    except OSError:
        return ""


def metadata_hash(path: Path) -> str:
    """Read the hash that kohya writes into a LoRA's metadata (`sshs_model_hash`). Empty if there is none."""
    from nodes.sd.formats.bad_file import BadFileError
    from nodes.sd.formats.read import read_tensors

    try:
        return read_tensors(path).metadata.get("sshs_model_hash", "").lower()
    except BadFileError:
        return ""


def tensors_hash(path: Path) -> str:
    """Compute the sha256 of all bytes after a safetensors header, which does not change with the metadata.

    Empty for a file of another kind, or one that cannot be read.
    """
    hasher = hashlib.sha256()
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if path.suffix != ".safetensors" or length > path.stat().st_size:
                return ""
            file.seek(8 + length)
            while piece := file.read(_PIECE):
                hasher.update(piece)
    except OSError:
        return ""
    return hasher.hexdigest()
