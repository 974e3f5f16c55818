"""The names of FLUX.1's tensors in the code of its authors, Black Forest Labs, which single files use."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nodes.sd.families.key_tables import Rows, Stored, Ways
from nodes.sd.lora import flux_layers

_OUTSIDE = {
    ours: Stored(name, swapped=name == flux_layers.SWAPPED) for name, ours in flux_layers.OUTSIDE.items()
}
_BLOCK = re.compile(r"(single_)?transformer_blocks\.(\d+)\.(.+)")


def _by_layer(table: dict[str, tuple[str, ...]]) -> dict[str, Stored]:
    """Return where each layer of diffusers in a block is stored."""
    return {
        layer: Stored(name, Rows(*share) if len(layers) > 1 else None)
        for name, layers in table.items()
        for layer, share in zip(layers, flux_layers.shares(layers), strict=True)
    }


_DOUBLE, _SINGLE = _by_layer(flux_layers.DOUBLE), _by_layer(flux_layers.SINGLE)


def stored_names(names: Iterable[str]) -> Ways:
    """Map the names of the transformer's tensors in diffusers to those in the code of its authors."""
    return {name: (_stored(name),) for name in names}


def _stored(name: str) -> Stored:
    module, _, kind = name.rpartition(".")
    if (found := _BLOCK.fullmatch(module)) is None:
        stored = _OUTSIDE[module]
        return stored._replace(name=f"{stored.name}.{kind}")
    single, number, inner = found.groups()
    stored = (_SINGLE if single else _DOUBLE)[inner]
    own = "scale" if stored.name.endswith("_norm") else kind
    return stored._replace(name=f"{'single' if single else 'double'}_blocks.{number}.{stored.name}.{own}")
