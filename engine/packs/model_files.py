"""The interface by which a pack lists and converts model files: its attribute `model_files`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from engine.errors import GraphError, Problem, SafelightError
from engine.files import Files
from engine.pack_errors import hook_problem
from engine.packs.registry import GROUP


@dataclass(frozen=True)
class ModelFile:
    """One file in a folder of models."""

    file: str
    """Its name in graphs: the path inside its model folder, with `/`."""
    kind: str
    """`embedding`, `lora`, `checkpoint`, `vae`, `hypernetwork` …"""
    format: str | None = None
    """The tool that wrote it, or that defined its layout."""
    triggers: tuple[str, ...] = ()
    """Its trigger words for prompts."""
    vectors: int | None = None
    """The number of tokens that an embedding takes in a prompt."""
    width: int | tuple[int, ...] | None = None
    """The width of an embedding's vectors, or of a checkpoint's text encoders; a tuple if it has several."""
    base: str | None = None
    """The model family that it is for."""
    bytes: int | None = None
    sha256: str | None = None
    problem: Mapping[str, str] | None = None
    """The reason it cannot be used: a `code` and a `message`."""
    tag: str | None = None
    """The prompt tag that applies it, such as `<lora:ink:1>`."""
    default_weight: float | None = None
    """The preferred weight of a LoRA, from the notes file beside it."""
    picture: str | None = None
    """The path of the file with its preview picture: one beside the model file, or that file itself."""

    def as_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object, in a fixed order."""
        return asdict(self)


class Conversion(NamedTuple):
    """A model file converted to safetensors."""

    kind: str
    tensors: int
    left_out: int
    """Tensors that do not belong to the model, such as training states."""
    pieces: Iterator[bytes]
    """The content of the safetensors file, piece by piece."""


class ModelFiles(Protocol):
    """The interface of a pack's `model_files`."""

    def listed(self, files: Files, kind: str | None, model: str | None) -> Iterator[ModelFile]:
        """List the files in the model folders.

        Args:
            files: the user's model folders.
            kind: list only files of this kind; None for all.
            model: mark embeddings that do not fit this model as unusable; None to skip this check.

        Raises:
            NodeError: the kind or the model does not exist.
        """
        ...

    def picture(self, path: Path) -> bytes | None:
        """Read the picture in a file that `ModelFile.picture` names; None if it cannot be read."""
        ...

    def converted(self, path: Path) -> Conversion:
        """Convert a file to safetensors.

        Raises:
            NodeError: the file cannot be read, or its content cannot be stored as safetensors.
        """
        ...


def listed(files: Files, kind: str | None, model: str | None) -> list[ModelFile]:
    """List the model files that the installed packs find; see `ModelFiles.listed`.

    Raises:
        NodeError: the kind or the model does not exist.
        GraphError: the code of a pack failed; the problem names its file and line.
    """
    rows: list[ModelFile] = []
    for offered in _offered():
        with _author_errors(offered):
            rows += offered.listed(files, kind, model)
    return rows


def picture(path: Path) -> bytes | None:
    """Read the picture in a file that a pack has listed as `ModelFile.picture`; see `ModelFiles.picture`.

    Raises:
        GraphError: the code of a pack failed.
    """
    for offered in _offered():
        with _author_errors(offered):
            if (data := offered.picture(path)) is not None:
                return data
    return None


def converted(path: Path) -> Conversion:
    """Convert a model file to safetensors; see `ModelFiles.converted`.

    Raises:
        NodeError: the file cannot be read, or its content cannot be stored as safetensors.
        GraphError: the code of a pack failed, or no pack converts files. Iterating over the pieces may raise
            it, too.
    """
    for offered in _offered():
        with _author_errors(offered):
            conversion = offered.converted(path)
        return conversion._replace(pieces=_guarded(offered, conversion.pieces))
    raise GraphError([Problem("no_pack", "no installed node pack can convert model files")])


def _guarded(offered: ModelFiles, pieces: Iterator[bytes]) -> Iterator[bytes]:
    with _author_errors(offered):
        yield from pieces


@contextmanager
def _author_errors(offered: ModelFiles) -> Iterator[None]:
    """Convert an exception in the code of a pack into a problem that names the pack's file and line."""
    try:
        yield
    except (SafelightError, OSError):
        raise
    except Exception as error:  # the code of a node pack may raise anything
        raise GraphError([hook_problem("model_files", offered, error)]) from error


def _offered() -> list[ModelFiles]:
    """Return the `model_files` attributes of the installed packs."""
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    found = (getattr(point.load(), "model_files", None) for point in points)
    return [item for item in found if item is not None]
