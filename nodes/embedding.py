"""An embedding on a wire: a word of one's own, and the vectors that stand for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast

from engine.values import Json, Packed, Part, Value

if TYPE_CHECKING:
    import torch

_SAFETENSORS = "application/x-safetensors"


@dataclass(frozen=True, eq=False)
class Embedding(Value):
    """A word of one's own: the vectors that a text encoder reads in its place."""

    name: str
    """What it is called, and the word for it in prompts."""
    vectors: Mapping[str, torch.Tensor]
    """float32 [n, width] for each text encoder: `clip_l` (SD 1's only one), `clip_g`, `t5`."""
    step: int | None = None
    """For how many steps it was trained."""
    base_hash: str | None = None
    """The first digits of the digest of the model that it was trained on."""
    base_name: str | None = None
    notes: Mapping[str, str] | None = None
    """What else is to be known of it, such as its training's settings."""

    def summary(self) -> str:
        """Its name, and how many vectors of which width it has."""
        shapes = ", ".join(f"{vectors.shape[0]} of {vectors.shape[1]}" for vectors in self.vectors.values())
        return f"{self.name}: {shapes}"

    def pack(self) -> Packed:
        """The vectors as safetensors."""
        from safetensors.torch import save

        meta = {
            "name": self.name,
            "step": self.step,
            "base_hash": self.base_hash,
            "base_name": self.base_name,
            "notes": dict(self.notes or {}),
        }
        vectors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.vectors.items()}
        return Packed(self.wire, cast(Json, meta), (Part("tensors", _SAFETENSORS, save(vectors)),))

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """The embedding that `pack` made this of."""
        from safetensors.torch import load

        plain = cast("dict[str, Any]", meta)
        return cls(vectors=load(parts["tensors"]), **plain)
