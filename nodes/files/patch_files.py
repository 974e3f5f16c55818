"""Recipes for LoRAs and hypernetworks: from files, named by digest, or made in the graph."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from engine.devices.compute import ComputeSettings
from engine.devices.recipe import Recipe
from engine.errors import NodeError
from engine.files import Files
from engine.values import Json, Part
from nodes.files.located import located
from nodes.sd.hypernetworks.hypernetwork_value import Hypernetwork
from nodes.sd.lora.lora_value import LoRA

LORAS = "loras"
HYPERNETWORKS = "hypernetworks"
SAFETENSORS = "application/x-safetensors"
PATCH_PART = "lora-"
"""The beginning of the name of a part with the tensors of a patch; the digest follows."""
_MADE: Mapping[str, type[LoRA] | type[Hypernetwork]] = {LORAS: LoRA, HYPERNETWORKS: Hypernetwork}


@dataclass(frozen=True)
class PatchFile(Recipe[Any]):
    """The recipe for the tensors of a LoRA or hypernetwork, shared by all models that use it."""

    kind: str
    """`loras` or `hypernetworks`."""
    digest: str
    """The sha256 of the file, or the digest of a patch that was made in the graph."""
    name: str = field(compare=False)
    """The name of the file when the recipe was made, for searching and for messages."""
    a1111_hash: str = field(default="", compare=False)
    """For a LoRA: the hash by which A1111 identifies it; see `file_hashes.lora_hash`."""
    made: LoRA | Hypernetwork | None = field(default=None, compare=False)
    """The LoRA or hypernetwork, if it was made in the graph and is in no file."""

    on_host = True  # only the patched weights are needed on the device

    @property
    def identity(self) -> Hashable:
        """The key under which it is loaded: files with equal content are loaded once."""
        return self.kind, self.digest

    def size(self, compute: ComputeSettings, files: Files) -> int:
        """Return the size of the file in bytes: the tensors and a small header."""
        if self.made is not None:
            return len(self.made.data)
        return located(files, self.kind, self.name, self.digest).stat().st_size

    def load(self, compute: ComputeSettings, files: Files) -> tuple[Any, int]:
        """Load the `Lora` or `Hypernetwork` of the file; returns it and the bytes of its tensors.

        Raises:
            NodeError: the file is missing, has changed, or is damaged.
        """
        from nodes.sd.formats.json_file import ModelError

        if self.made is not None:
            opened = self.made.opened()
            return opened, opened.nbytes
        path = located(files, self.kind, self.name, self.digest)
        try:
            if self.kind == LORAS:
                from nodes.sd.lora import file as lora

                loaded: Any = lora.read(path)
            else:
                from nodes.sd.hypernetworks import network

                loaded = network.read(path)
        except ModelError as error:
            raise NodeError(str(error), code=f"bad_{self.kind.removesuffix('s')}") from None
        return loaded, loaded.nbytes


@dataclass(frozen=True)
class Patch:
    """One patch of a network: a file and its strength."""

    source: PatchFile
    strength: float
    blocks: tuple[float, ...] = ()
    """For a LoRA on a UNet: the factor of each block, as `nodes.sd.lora.blocks` lists them; empty for 1."""
    ranks: int | None = None
    """For a LoRA: the number of ranks to use; None for all."""

    def summary(self) -> str:
        """The name and the strength."""
        return f"{Path(self.source.name).stem} {self.strength:g}"

    def as_json(self) -> dict[str, Json]:
        """Return this patch as JSON, for a store."""
        return {
            "kind": self.source.kind,
            "digest": self.source.digest,
            "name": self.source.name,
            "a1111_hash": self.source.a1111_hash,
            "strength": self.strength,
            "blocks": list(self.blocks),
            "ranks": self.ranks,
            "made": None if self.source.made is None else self.source.made.pack().meta,
        }

    def parts(self) -> tuple[Part, ...]:
        """Return the tensors of a patch that was made in the graph, for a store; empty for a file."""
        made = self.source.made
        return () if made is None else (Part(f"{PATCH_PART}{self.source.digest}", SAFETENSORS, made.data),)

    @classmethod
    def from_json(cls, tree: dict[str, Any], parts: Mapping[str, bytes]) -> Self:
        """Restore a patch from the JSON of `as_json` and the data of `parts`."""
        digest, meta = tree["digest"], tree.get("made")
        data = None if meta is None else {"tensors": parts[f"{PATCH_PART}{digest}"]}
        made = None if data is None else _MADE[tree["kind"]].unpack(meta, data)
        source = PatchFile(tree["kind"], digest, tree["name"], tree["a1111_hash"], made)
        return cls(source, tree["strength"], tuple(tree["blocks"]), tree["ranks"])
