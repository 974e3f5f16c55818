"""The value type of a textual-inversion embedding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast

from engine.values import Json, Packed, Part, Value

if TYPE_CHECKING:
    import torch

    from nodes.sd.embeddings.adam_state import AdamState

_SAFETENSORS = "application/x-safetensors"


@dataclass(frozen=True, eq=False)
class Embedding(Value, family="models", lossless=True):
    """A textual-inversion embedding: a trigger word, and the vectors that replace it in the text encoder."""

    name: str
    """The name, which is also its trigger."""
    vectors: Mapping[str, torch.Tensor]
    """float32 [n, width] for each text encoder: `clip_l` (the only one of SD 1), `clip_g`, `t5`."""
    step: int | None = None
    """The number of training steps; None if unknown."""
    base_hash: str | None = None
    """The first digits of the hash of the model that it was trained on."""
    base_name: str | None = None
    notes: Mapping[str, str] | None = None
    """Further metadata, such as the settings of the training."""
    optimizer: Mapping[str, AdamState] | None = None
    """The state of AdamW for the vectors of each text encoder, to continue the training with."""

    def summary(self) -> str:
        """Return the name, and the number and width of the vectors, for display."""
        shapes = ", ".join(f"{vectors.shape[0]} of {vectors.shape[1]}" for vectors in self.vectors.values())
        return f"{self.name}: {shapes}"

    def pack(self) -> Packed:
        """Convert the embedding for the cache: the vectors to safetensors, the rest to JSON."""
        from safetensors.torch import save

        meta: dict[str, Any] = {
            "name": self.name,
            "step": self.step,
            "base_hash": self.base_hash,
            "base_name": self.base_name,
            "notes": None if self.notes is None else dict(self.notes),
            "encoders": list(self.vectors),  # safetensors does not keep their order
        }
        vectors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.vectors.items()}
        for name, state in (self.optimizer or {}).items():
            vectors |= {f"{name}.mean": state.mean, f"{name}.square": state.square}
        if self.optimizer:
            meta["optimizer_steps"] = {name: state.steps for name, state in self.optimizer.items()}
        return Packed(self.wire, cast(Json, meta), (Part("tensors", _SAFETENSORS, save(vectors)),))

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """Restore the embedding from what `pack` returned."""
        from safetensors.torch import load

        from nodes.sd.embeddings.adam_state import AdamState

        plain = dict(cast("dict[str, Any]", meta))
        tensors = load(parts["tensors"])
        states = {
            name: AdamState(steps, tensors[f"{name}.mean"], tensors[f"{name}.square"])
            for name, steps in plain.pop("optimizer_steps", {}).items()
        }
        vectors = {name: tensors[name] for name in plain.pop("encoders", tensors)}
        return cls(vectors=vectors, **plain, optimizer=states or None)
