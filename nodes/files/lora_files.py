"""Finds LoRA files by file name, or by the name in their metadata."""

from __future__ import annotations

from pathlib import Path

from engine.errors import NodeError
from engine.files import Files
from nodes.files.file_kinds import require_kind
from nodes.files.file_names import resolve
from nodes.files.known_files import facts
from nodes.files.patch_files import LORAS
from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.read import read_tensors
from nodes.sd.formats.scan import MODEL_SUFFIXES, scan
from nodes.sd.lora.describe import alias_of


def resolve_lora(files: Files, name: str) -> str:
    """Find a LoRA file by name; returns its name inside the LoRA folders.

    The name may lack the suffix and the sub-folder. If no file has this name, the one file with this name in
    its metadata is found (`ss_output_name`, as in A1111). Otherwise, the given name is returned.

    Raises:
        NodeError: several files in different sub-folders have this name.
    """
    if (found := resolve(files, LORAS, name)) is not None:
        return found
    matches = {
        item.name
        for folder in files.folders(LORAS)
        for item in scan(Path(folder))
        if item.problem is None and item.path.suffix.lower() in MODEL_SUFFIXES and _alias(item.path) == name
    }
    return matches.pop() if len(matches) == 1 else name


def lora_digest(files: Files, name: str, *, input: str) -> str:
    """Return the sha256 of the LoRA file with a name.

    Raises:
        NodeError: there is no such file, several have this name, or the file is not a usable LoRA.
    """
    try:
        path = files.find(LORAS, resolve_lora(files, name))
    except NodeError as error:
        raise error.at(input) from None
    return require_kind(files, path, "lora", input=input)


def lora_base(files: Files, name: str, digest: str) -> str | None:
    """Return the title of the model family that a LoRA was made for, such as `SD 1`; None if unknown.

    Raises:
        NodeError: there is no such file.
    """
    path = files.find(LORAS, name)
    return facts(files, [(path, digest)])[digest].base


def _alias(path: Path) -> str:
    if path.suffix != ".safetensors":
        return ""
    try:
        return alias_of(read_tensors(path).metadata)
    except BadFileError:
        return ""
