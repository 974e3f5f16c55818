"""A hypernetwork in a recipe: the file by its digest, and how strong it is."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from engine.errors import NodeError
from engine.files import Files
from engine.values import Json
from nodes.sd.lora.patch import unchanged

if TYPE_CHECKING:
    from nodes.sd.hypernetwork import Hypernetwork

KIND = "hypernetworks"


@dataclass(frozen=True)
class HypernetworkFile:
    """What to load for a hypernetwork: its modules, once for all models and strengths."""

    digest: str
    """sha256 of the file."""
    name: str = field(compare=False)
    """Where it was found."""

    @property
    def identity(self) -> Hashable:
        """Equal files are loaded once."""
        return "hypernetwork", self.digest

    def load(self, device: str, files: Files) -> tuple[Hypernetwork, int]:
        """Its modules on a device, and the bytes that they take.

        Raises:
            NodeError: the file is gone, is another by now, or is no sound hypernetwork.
        """
        from nodes.sd.hypernetwork import read
        from nodes.sd.json_file import ModelError

        path = unchanged(files, KIND, self.name, self.digest)
        try:
            hypernetwork = read(path).to(device)
        except ModelError as error:
            raise NodeError(str(error), code="bad_hypernetwork") from None
        return hypernetwork, hypernetwork.nbytes


@dataclass(frozen=True)
class HypernetworkPatch:
    """One hypernetwork over a UNet, at a strength."""

    source: HypernetworkFile
    strength: float

    def summary(self) -> str:
        """Its name and strength."""
        return f"{Path(self.source.name).stem} {self.strength:g}"

    def as_json(self) -> dict[str, Json]:
        """All of it, to be kept."""
        return {"hypernetwork": cast("Json", asdict(self))}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Self:
        """The patch that `as_json` made this of."""
        return cls(HypernetworkFile(**kept["source"]), kept["strength"])
