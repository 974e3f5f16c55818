"""A LoRA in a recipe: the file by its digest, and how strong it is. Reading it is left to who needs it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from engine.errors import NodeError
from engine.files import Files
from engine.values import Json

if TYPE_CHECKING:
    from nodes.sd.lora.file import Lora

KIND = "loras"


@dataclass(frozen=True)
class LoraFile:
    """What to load for a LoRA: its tensors, once for all models and weights that it is used with."""

    digest: str
    """sha256 of the file."""
    name: str = field(compare=False)
    """Where it was found; another name for the same bytes is the same LoRA."""

    @property
    def identity(self) -> Hashable:
        """Equal files are loaded once."""
        return "lora", self.digest

    def load(self, device: str, files: Files) -> tuple[Lora, int]:
        """Its tensors on a device, and the bytes that they take.

        Raises:
            NodeError: the file is gone, is another by now, or is no sound LoRA.
        """
        from nodes.sd.json_file import ModelError
        from nodes.sd.lora.file import read

        path = unchanged(files, KIND, self.name, self.digest)
        try:
            lora = read(path).to(device)
        except ModelError as error:
            raise NodeError(str(error), code="bad_lora") from None
        return lora, lora.nbytes


@dataclass(frozen=True)
class LoraPatch:
    """One LoRA over one network, at a weight."""

    source: LoraFile
    weight: float
    blocks: tuple[float, ...] = ()
    """Block weights, in one of the lists of `blocks`; empty for 1 everywhere."""
    ranks: int | None = None
    """How many of its directions are used; None for all."""

    def summary(self) -> str:
        """Its name and weight."""
        return f"{Path(self.source.name).stem} {self.weight:g}"

    def as_json(self) -> dict[str, Json]:
        """All of it, to be kept."""
        return {"lora": cast("Json", asdict(self))}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Self:
        """The patch that `as_json` made this of."""
        plain = {**kept, "source": LoraFile(**kept["source"]), "blocks": tuple(kept["blocks"])}
        return cls(**plain)


def unchanged(files: Files, kind: str, name: str, digest: str) -> Path:
    """The file of a name, if it still is the one of this digest.

    Raises:
        NodeError: it is gone, or another.
    """
    path = files.find(kind, name)
    if files.digest(path) != digest:
        hint = "run again to use it as it is now"
        raise NodeError(f"the file {name!r} changed during the run", hint=hint, code="changed_file")
    return path
