"""ControlNets as recipes."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from engine.devices.compute import ComputeSettings
from engine.devices.recipe import Recipe
from engine.errors import NodeError
from engine.files import Files
from engine.values import Json, Packed, Value
from nodes.files.file_kinds import NOUNS
from nodes.files.file_names import resolve
from nodes.files.located import located

if TYPE_CHECKING:
    from diffusers.models.controlnets.controlnet import ControlNetModel

CONTROLNETS = "controlnet"
CONFIG = "config.json"
WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")
"""The files of a ControlNet in diffusers' folder layout; the first that exists is used."""
LARGEST_CONFIG = 1_000_000
"""Bytes of a config.json; those of diffusers have about 1000."""


@dataclass(frozen=True)
class ControlNet(Value, Recipe["ControlNetModel"], family="models", lossless=True):
    """A recipe for a ControlNet: a network that makes a UNet follow a picture, such as edges or a pose."""

    digest: str
    """The sha256 of the file with the weights."""
    config: str
    """The content of the folder's `config.json`."""
    name: str = field(compare=False)
    """The name of the file when the recipe was made, which is tried first and shown in messages."""

    @property
    def identity(self) -> Hashable:
        """The key under which it is loaded: files with equal content are loaded once."""
        return self.wire, self.digest, self.config

    def summary(self) -> str:
        """The name of the file and the beginning of its digest."""
        return f"{self.name} ({self.digest[:10]})"

    def pack(self) -> Packed:
        """Pack the digest, the config and the name as JSON, without weights."""
        fields: dict[str, Json] = {"digest": self.digest, "config": self.config, "name": self.name}
        return Packed(self.wire, {**fields, "summary": self.summary()})

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """Restore the recipe from what `pack` returned."""
        assert isinstance(meta, dict)
        return cls(str(meta["digest"]), str(meta["config"]), str(meta["name"]))

    def size(self, compute: ComputeSettings, files: Files) -> int:
        """Return the size of the file in bytes, which is about that of the weights."""
        return located(files, CONTROLNETS, self.name, self.digest).stat().st_size

    def load(self, compute: ComputeSettings, files: Files) -> tuple[ControlNetModel, int]:
        """Load the network onto the device; returns it and its bytes there.

        Raises:
            NodeError: the file is missing, has changed, is damaged, or does not fit its config.
        """
        import torch

        from nodes.sd.controlnets.network import read_controlnet
        from nodes.sd.formats.bad_file import BadFileError
        from nodes.sd.formats.json_file import ModelError

        path = located(files, CONTROLNETS, self.name, self.digest)
        try:
            network = read_controlnet(path, json.loads(self.config), getattr(torch, compute.dtype))
        except (BadFileError, ModelError) as error:
            raise NodeError(
                f"the ControlNet {self.name!r} cannot be loaded: {error}",
                hint="use the config.json that belongs to it",
                code="bad_controlnet",
            ) from None
        network.to(torch.device(compute.device))
        return network, sum(tensor.nbytes for tensor in network.parameters())


def described(files: Files, name: str) -> ControlNet:
    """Make the recipe of a ControlNet: a file, or a folder with a safetensors file and a `config.json`.

    Raises:
        NodeError: there is no such file or folder, or it is not a ControlNet that Safelight supports.
    """
    name = resolve(files, CONTROLNETS, name) or name
    folder = files.find(CONTROLNETS, name)
    if folder.is_file():
        digest = files.digest(folder)
        return ControlNet(digest, _config_of(folder, digest), name)
    weights = next((path for path in (folder / file for file in WEIGHTS) if path.is_file()), None)
    config = folder / CONFIG
    if weights is None or not config.is_file():
        raise NodeError(
            f"{name!r} is not a ControlNet in the folder layout of diffusers",
            hint=f"choose a folder with {CONFIG} and {WEIGHTS[0]}, or a single file",
            code="wrong_kind",
        )
    text = config.read_text("utf-8", errors="replace")[:LARGEST_CONFIG]
    try:
        plain: Any = json.loads(text)
    except ValueError:
        plain = None
    if not isinstance(plain, dict) or plain.get("_class_name") != "ControlNetModel":
        raise NodeError(f"{config} is not the config of a ControlNet", code="wrong_kind")
    return ControlNet(files.digest(weights), text, f"{name.rstrip('/')}/{weights.name}")


@lru_cache(maxsize=256)
def _config_of(path: Path, digest: str) -> str:
    """Derive the config of a ControlNet in a single file from its tensors, as JSON.

    Args:
        path: the file.
        digest: its sha256, the key under which the result is cached.

    Raises:
        NodeError: the file cannot be read, is not a ControlNet, or belongs to an unsupported family.
    """
    from nodes.sd.controlnets.network import config_of, is_controlnet, relative
    from nodes.sd.formats.bad_file import BadFileError
    from nodes.sd.formats.json_file import ModelError
    from nodes.sd.formats.kinds import kind_of
    from nodes.sd.formats.read import read_tensors

    try:
        tensors = read_tensors(path)
        names = list(tensors.entries)
        if (noun := relative(names)) is not None:
            raise NodeError(
                f"{path.name} is {noun}, which Safelight does not support",
                hint="choose a ControlNet for the same kind of picture",
                code="wrong_kind",
            )
        if not is_controlnet(names):
            noun = NOUNS.get(kind_of(tensors))
            message = f"{path.name} is {noun}, not a ControlNet" if noun else f"{path.name} is no ControlNet"
            raise NodeError(message, hint="choose another file", code="wrong_kind")
        return json.dumps(config_of(tensors))
    except BadFileError as error:
        raise NodeError(str(error), code=error.code) from None
    except ModelError as error:
        raise NodeError(str(error), code="wrong_kind") from None
