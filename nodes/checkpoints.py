"""Checkpoints by name: where they lie, what they hold, and the digest of all that a result depends on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

from engine.errors import NodeError
from engine.files import Files
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
    path = _EMBEDDED_FOLDER if name == EMBEDDED else files.find(KIND, name)
    try:
        return describe_folder(path)
    except ModelError as error:
        raise NodeError(str(error), input="model", code="bad_model") from None


def _digest(files: Files, folder: ModelFolder) -> str:
    return sha256(canonical([[name, files.digest(folder.path / name)] for name in folder.files]))
