"""The terms of a merged network: recipes, each with the weight by which its tensors are multiplied."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from engine.files import Files
from engine.values import Json, Packed, Part
from nodes.files.checkpoints import Checkpoint
from nodes.files.patch_files import PATCH_PART


class Mergeable(Protocol):
    """A recipe whose networks can be merged; the recipes of `nodes.value_types.recipes` are such."""

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint of the network."""
        ...

    @property
    def identity(self) -> Hashable:
        """A key that is equal for recipes that load the same weights."""
        ...

    @property
    def digests(self) -> frozenset[str]:
        """The digests of all checkpoints that the recipe loads."""
        ...

    def pack(self) -> Packed:
        """Pack the recipe for a store."""
        ...

    def exact(self, files: Files) -> Any:
        """Load the network in float32 on the CPU."""
        ...


@dataclass(frozen=True)
class Term:
    """One network of a merge, and its weight."""

    recipe: Mergeable
    weight: float
    blocks: tuple[float, ...] = ()
    """The weight in each block of a UNet, as `nodes.sd.lora.blocks` lists them; empty for `weight`."""

    @property
    def identity(self) -> Hashable:
        """A key that is equal for terms that add the same numbers."""
        return self.recipe.identity, self.weight, self.blocks

    def summary(self) -> str:
        """The name of the checkpoint and the weight."""
        weight = "by blocks" if self.blocks else f"{self.weight:g}"
        return f"{self.recipe.checkpoint.name} {weight}"

    def as_json(self) -> Json:
        """Return this term as JSON, for a store."""
        return {"recipe": self.recipe.pack().meta, "weight": self.weight, "blocks": list(self.blocks)}

    def parts(self) -> tuple[Part, ...]:
        """Return the binary data that belongs to the JSON: patches that were made in the graph."""
        return tuple(part for part in self.recipe.pack().parts if part.name.startswith(PATCH_PART))

    @classmethod
    def from_json(cls, recipe: type[Any], tree: Any, parts: Mapping[str, bytes]) -> Self:
        """Restore a term from the JSON of `as_json` and the data of `parts`."""
        return cls(recipe.unpack(tree["recipe"], parts), tree["weight"], tuple(tree["blocks"]))


def merged(terms: Sequence[Term], files: Files) -> list[Any]:
    """Compute the networks of a merge, in float32 on the CPU: one for each network of a recipe.

    Raises:
        NodeError: the networks have different shapes, or a file is missing or unusable.
    """
    from nodes.node_problem import node_problem
    from nodes.sd.models.merging import weighted_sum

    networks = [_networks(term.recipe.exact(files)) for term in terms]
    with node_problem():
        return [
            weighted_sum(alike, [(term.weight, term.blocks) for term in terms])
            for alike in zip(*networks, strict=True)
        ]


def _networks(loaded: Any) -> list[Any]:
    """Return the networks that a recipe has loaded as a list: one, or several text encoders."""
    return [one.encoder for one in loaded] if isinstance(loaded, tuple) else [loaded]
