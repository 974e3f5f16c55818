"""What a pack may offer as `model_files`: the files of models that it knows, and how to convert them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from engine.files import Files
from engine.registry import GROUP


@dataclass(frozen=True)
class ModelFile:
    """One file in a folder of models."""

    file: str
    """Its name as graphs write it: the way from its folder, with `/`."""
    kind: str
    """`embedding`, `lora`, `checkpoint`, `vae`, `hypernetwork` …"""
    format: str | None = None
    """Which tool's layout it has."""
    triggers: tuple[str, ...] = ()
    """What may be typed in a prompt to mean it."""
    vectors: int | None = None
    """How many places in a prompt it takes."""
    width: int | tuple[int, ...] | None = None
    """How wide its vectors are; of one for several text encoders, each's."""
    base: str | None = None
    """The models that it is for."""
    bytes: int | None = None
    sha256: str | None = None
    problem: Mapping[str, str] | None = None
    """Why it cannot be used: a `code` and a `message`."""

    def as_json(self) -> dict[str, Any]:
        """The ten fields of the contract, in their fixed order."""
        return asdict(self)


class Conversion(NamedTuple):
    """A file as safetensors."""

    kind: str
    tensors: int
    left_out: int
    """Tensors that are not the model's, such as states of its training."""
    pieces: Iterator[bytes]
    """The new file, in order."""


class ModelFiles(Protocol):
    """What a pack knows of the files of models."""

    def listed(self, files: Files, kind: str | None, model: str | None) -> Iterator[ModelFile]:
        """The files in the folders of models.

        Args:
            files: the folders.
            kind: only those of this kind; None for all.
            model: a model to compare widths with; None for none.

        Raises:
            NodeError: there is no such kind or no such model.
        """
        ...

    def converted(self, path: Path) -> Conversion:
        """A file as safetensors.

        Raises:
            NodeError: it cannot be read, or safetensors cannot say what it holds.
        """
        ...


def offered() -> list[ModelFiles]:
    """What the installed packs offer, each pack once."""
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    found = (getattr(point.load(), "model_files", None) for point in points)
    return [item for item in found if item is not None]
