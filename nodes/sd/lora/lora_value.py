"""The value type of a LoRA that was made in a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, cast

from engine.values import Json, Packed, Part, Value, sha256

if TYPE_CHECKING:
    import torch

    from nodes.sd.lora.file import Lora

_SAFETENSORS = "application/x-safetensors"


@dataclass(frozen=True, eq=False)
class LoRA(Value, family="models", lossless=True):
    """A LoRA: changes of some layers of a model."""

    name: str
    tensors: Mapping[str, torch.Tensor]
    """The tensors, sorted by name: network and layer in diffusers with kohya's parts, such as
    `unet.mid_block.attentions.0.proj_in.lora_up.weight`."""
    metadata: Mapping[str, str]
    """The metadata for a file: `ss_*`, `modelspec.*` and `safelight.*`."""
    original_names: Mapping[str, str] = field(default_factory=dict)
    """For SDXL: the names of the UNet's layers in Stability's code, which kohya's files use."""

    @cached_property
    def data(self) -> bytes:
        """The tensors as the bytes of a safetensors file, without the metadata."""
        from safetensors.torch import save

        return save({name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()})

    @cached_property
    def digest(self) -> str:
        """The sha256 of `data`, which is equal for equal weights."""
        return sha256(self.data)

    def opened(self) -> Lora:
        """Convert the LoRA to adapters, as reading its file would."""
        from nodes.sd.lora.file import lora

        return lora(self.tensors, {}, self.name)

    def summary(self) -> str:
        """Return the name, the number of layers and the size, for display."""
        layers = sum(1 for name in self.tensors if name.endswith(".alpha"))
        return f"{self.name}: {layers} layers, {len(self.data) / 1e6:.1f} MB"

    def pack(self) -> Packed:
        """Convert the LoRA for the cache: the tensors to safetensors, the rest to JSON."""
        meta: dict[str, Json] = {
            "name": self.name,
            "metadata": cast(Json, dict(self.metadata)),
            "original_names": cast(Json, dict(self.original_names)),
        }
        return Packed(self.wire, meta, (Part("tensors", _SAFETENSORS, self.data),))

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """Restore the LoRA from what `pack` returned."""
        from safetensors.torch import load

        plain = dict(cast("dict[str, Any]", meta))
        tensors = dict(sorted(load(parts["tensors"]).items()))
        return cls(plain["name"], tensors, plain["metadata"], plain["original_names"])
