"""The terms of a merged network: recipes, each with the weight with which its tensors are added."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from engine.files import Files
from engine.values import Json, Packed, Part
from nodes.files.checkpoints import Checkpoint
from nodes.files.patch_files import PATCH_PART


class Mergeable(Protocol):
    """The recipe of a network of a checkpoint, as `nodes.value_types.recipes` has it."""

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint."""
        ...

    @property
    def identity(self) -> Hashable:
        """Recipes of equal identity load the same weights."""
        ...

    @property
    def digests(self) -> frozenset[str]:
        """The digests of all checkpoints in it."""
        ...

    def pack(self) -> Packed:
        """The recipe as bytes."""
        ...

    def exact(self, files: Files) -> Any:
        """The network that the recipe loads, in float32 on the CPU."""
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
        """Terms of equal identity add the same numbers."""
        return self.recipe.identity, self.weight, self.blocks

    def summary(self) -> str:
        """The name of the checkpoint and the weight."""
        weight = "by blocks" if self.blocks else f"{self.weight:g}"
        return f"{self.recipe.checkpoint.name} {weight}"

    def as_json(self) -> Json:
        """This term as JSON, for a store."""
        return {"recipe": self.recipe.pack().meta, "weight": self.weight, "blocks": list(self.blocks)}

    def parts(self) -> tuple[Part, ...]:
        """The data that belongs to the JSON: patches that were made in the graph."""
        return tuple(part for part in self.recipe.pack().parts if part.name.startswith(PATCH_PART))

    @classmethod
    def from_json(cls, recipe: type[Any], tree: Any, parts: Mapping[str, bytes]) -> Self:
        """The term that `as_json` made this JSON of, with the data of `parts`."""
        return cls(recipe.unpack(tree["recipe"], parts), tree["weight"], tuple(tree["blocks"]))


def merged(terms: Sequence[Term], files: Files) -> list[Any]:
    """The networks of a merge in float32 on the CPU, one for each network of the recipes.

    Raises:
        NodeError: the networks are of different shapes, or a file is gone or unusable.
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
    """The networks that a recipe has loaded: one, or several text encoders."""
    return [one.encoder for one in loaded] if isinstance(loaded, tuple) else [loaded]
