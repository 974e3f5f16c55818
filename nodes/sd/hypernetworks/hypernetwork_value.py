"""The value type of a hypernetwork that was made in a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, cast

from engine.values import Json, Packed, Part, Value, canonical, sha256

if TYPE_CHECKING:
    import torch

    from nodes.sd.hypernetworks.layout import Layout
    from nodes.sd.hypernetworks.network import LoadedHypernetwork

_SAFETENSORS = "application/x-safetensors"
SIDES = ("k", "v")
"""The networks of a width: that of the keys, and that of the values."""


@dataclass(frozen=True, eq=False)
class Hypernetwork(Value, family="models", lossless=True):
    """A hypernetwork: small networks before the keys and values of a model's attention."""

    name: str
    tensors: Mapping[str, torch.Tensor]
    """The tensors, sorted by name: width, side and A1111's name, such as `320.k.linear.0.weight`."""
    layout: Layout
    weight_init: str
    """How the first weights were drawn, by A1111's name."""
    step: int
    base_hash: str
    """The beginning of the digest of the model that it was trained on."""
    base_name: str
    notes: Mapping[str, str]
    """The settings of the training."""

    @property
    def widths(self) -> list[int]:
        """The widths of the attention's inputs that it changes."""
        return sorted({int(name.split(".", 1)[0]) for name in self.tensors})

    @cached_property
    def data(self) -> bytes:
        """The tensors as the bytes of a safetensors file."""
        from safetensors.torch import save

        return save({name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()})

    @cached_property
    def digest(self) -> str:
        """The sha256 of weights and layers; it does not depend on the name or the notes."""
        return sha256(canonical([sha256(self.data), cast(Json, asdict(self.layout))]))

    def states(self, width: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Return the tensors of the networks for the keys, then for the values, of one input width.

        They are named as in A1111's files.
        """
        first, second = (
            {
                name.removeprefix(f"{width}.{side}."): tensor
                for name, tensor in self.tensors.items()
                if name.startswith(f"{width}.{side}.")
            }
            for side in SIDES
        )
        return first, second

    def opened(self) -> LoadedHypernetwork:
        """Build the networks, as reading a file does."""
        from nodes.sd.hypernetworks.layout import loaded
        from nodes.sd.hypernetworks.network import LoadedHypernetwork

        pairs = {}
        for width in self.widths:
            first, second = (loaded(self.name, self.layout, width, one) for one in self.states(width))
            pairs[width] = (first, second)
        return LoadedHypernetwork(pairs, self.name)

    def summary(self) -> str:
        """Return the name, the widths and the size in MB, for display."""
        return f"{self.name}: widths {', '.join(map(str, self.widths))}, {len(self.data) / 1e6:.1f} MB"

    def pack(self) -> Packed:
        """Convert the hypernetwork for the cache: the tensors to safetensors, the rest to JSON."""
        rest = ("name", "weight_init", "step", "base_hash", "base_name")
        meta: dict[str, Json] = {field: getattr(self, field) for field in rest}
        meta["layout"] = cast(Json, asdict(self.layout))
        meta["notes"] = cast(Json, dict(self.notes))
        return Packed(self.wire, meta, (Part("tensors", _SAFETENSORS, self.data),))

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """Restore the hypernetwork from what `pack` returned."""
        from safetensors.torch import load

        from nodes.sd.hypernetworks.layout import Layout

        plain = dict(cast("dict[str, Any]", meta))
        layout = plain.pop("layout")
        layout |= {key: tuple(layout[key]) for key in ("structure", "dropout")}
        tensors = dict(sorted(load(parts["tensors"]).items()))
        return cls(tensors=tensors, layout=Layout(**layout), **plain)
