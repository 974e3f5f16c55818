"""Checkpoints by name: where they lie, what they hold, and the digest of all that a result depends on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

from engine.errors import NodeError
from engine.files import Files
from engine.registry import near
from engine.values import Json, canonical, sha256
from nodes.sd.folder import Betas, ModelFolder, describe_folder
from nodes.sd.json_file import ModelError
from nodes.sd.names import Prediction

KIND = "checkpoints"

EMBEDDED = "safelight-tiny"
"""The model that comes with Safelight: small, really trained, and of Stable Diffusion 1's architecture."""

_EMBEDDED_FOLDER = Path(__file__).parent / "sd" / "tiny" / "weights"


@dataclass(frozen=True)
class Checkpoint:
    """What a model's folder holds, and the digest of its files: enough to plan with, and to find it again."""

    name: str
    digest: str
    """sha256 over the names and digests of all files that a result depends on."""
    family: str
    prediction: Prediction
    betas: Betas
    latent_channels: int
    vae_scale: int
    """Pixels to one latent, along each side."""
    width: int
    """Pixels across, of the pictures that it was trained on."""
    height: int
    text_width: int
    """Numbers in one row of a text embedding."""

    @classmethod
    def from_json(cls, meta: dict[str, Json]) -> Self:
        """The checkpoint that `dataclasses.asdict` made this of."""
        plain = cast("dict[str, Any]", meta)
        return cls(**{**plain, "betas": Betas(*plain["betas"])})

    def folder(self, files: Files) -> ModelFolder:
        """The folder that this checkpoint lies in.

        Raises:
            NodeError: it is gone, or its files are others than when the checkpoint was named.
        """
        found = _described(files, self.name)
        if _digest(files, found) != self.digest:
            hint = "run again to use it as it is now"
            raise NodeError(
                f"the files of {self.name!r} changed during the run", hint=hint, code="changed_file"
            )
        return found


def checkpoint(files: Files, name: str) -> Checkpoint:
    """The checkpoint of a name: `safelight-tiny`, or a folder in the diffusers layout.

    Raises:
        NodeError: there is none, or it is not a model that Safelight runs.
    """
    found = _described(files, name)
    width, height = found.size
    return Checkpoint(
        name,
        _digest(files, found),
        found.family,
        found.prediction,
        found.betas,
        found.latent_channels,
        found.vae_scale,
        width,
        height,
        found.text_width,
    )


def _described(files: Files, name: str) -> ModelFolder:
    path = _EMBEDDED_FOLDER if name == EMBEDDED else _found(files, name)
    if path.is_file():
        raise NodeError(
            f"{path.name} is {_single_file(path)}, and models are read from folders",
            hint="make a folder of it: in Python, diffusers' StableDiffusionPipeline.from_single_file(FILE)"
            ".save_pretrained(FOLDER); then name the folder",
            input="model",
            code="bad_model",
        )
    try:
        return describe_folder(path)
    except ModelError as error:
        raise NodeError(str(error), input="model", code="bad_model") from None


def _found(files: Files, name: str) -> Path:
    """The file or folder of a model's name; names that look like it may be the embedded model's."""
    try:
        return files.find(KIND, name)
    except NodeError as error:
        hint = error.hint
        if error.code == "missing_file":
            hint = near(name, [*files.names(KIND), EMBEDDED]) or hint
        raise NodeError(error.message, hint=hint, input="model", code=error.code) from None


def _single_file(path: Path) -> str:
    """What a file is that was named where a model belongs, by its first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise NodeError(
            f"{path} cannot be read: {error.strerror}", input="model", code="unreadable"
        ) from None
    if head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return "a checkpoint in a single file (safetensors)"
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return "a checkpoint in a single file (a pickle, such as .ckpt, which can hold programs)"
    return "a GGUF file" if head.startswith(b"GGUF") else "a file"


def _digest(files: Files, folder: ModelFolder) -> str:
    return sha256(canonical([[name, files.digest(folder.path / name)] for name in folder.files]))
