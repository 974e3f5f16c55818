"""Upscale models as recipes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from engine.devices.compute import ComputeSettings
from engine.devices.recipe import Recipe
from engine.errors import NodeError
from engine.files import Files
from engine.values import Json, Packed, Value
from nodes.files.located import located

if TYPE_CHECKING:
    import torch

    from nodes.sd.upscalers.file import UpscaleNetwork

UPSCALERS = "upscale_models"


@dataclass(frozen=True)
class Upscaler(Value, Recipe["UpscaleNetwork"], family="models", lossless=True):
    """A recipe for an upscale model: a network that makes pictures larger, such as an ESRGAN."""

    digest: str
    """The sha256 of the file."""
    name: str = field(compare=False)
    """The name of the file when the recipe was made, which is tried first and shown in messages."""

    @property
    def identity(self) -> Hashable:
        """The key under which it is loaded: files with equal content are loaded once."""
        return self.wire, self.digest

    def summary(self) -> str:
        """The name of the file and the beginning of its digest."""
        return f"{self.name} ({self.digest[:10]})"

    def pack(self) -> Packed:
        """Pack the digest and the name as JSON, without weights."""
        return Packed(self.wire, {"digest": self.digest, "name": self.name, "summary": self.summary()})

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """Restore the recipe from what `pack` returned."""
        assert isinstance(meta, dict)
        return cls(str(meta["digest"]), str(meta["name"]))

    def size(self, compute: ComputeSettings, files: Files) -> int:
        """Return the bytes of the weights on the device, from the header of their file."""
        from nodes.sd.formats.json_file import ModelError
        from nodes.sd.upscalers.file import weight_count

        path = located(files, UPSCALERS, self.name, self.digest)
        try:
            return weight_count(path) * _dtype(compute).itemsize
        except ModelError as error:
            raise NodeError(str(error), code="bad_upscaler") from None

    def load(self, compute: ComputeSettings, files: Files) -> tuple[UpscaleNetwork, int]:
        """Load the network onto the device; returns it and its bytes there.

        Raises:
            NodeError: the file is missing, has changed, is damaged, or has an unsupported architecture.
        """
        import torch

        from nodes.sd.formats.json_file import ModelError
        from nodes.sd.upscalers.file import read

        path = located(files, UPSCALERS, self.name, self.digest)
        try:
            network = read(path)
        except ModelError as error:
            raise NodeError(str(error), code="bad_upscaler") from None
        network.module.to(torch.device(compute.device), _dtype(compute))
        return network, sum(tensor.nbytes for tensor in network.module.parameters())


def _dtype(compute: ComputeSettings) -> torch.dtype:
    """Return float16 for half precision on a GPU (bfloat16 is too coarse for pictures), else float32."""
    import torch

    return torch.float16 if compute.kind != "cpu" and compute.dtype != "float32" else torch.float32
