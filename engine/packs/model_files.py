"""The interface by which a pack lists and converts model files: its attribute `model_files`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from engine.errors import GraphError, Problem, SafelightError, hook_problem
from engine.files import Files
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
    """Words that invoke it in a prompt."""
    vectors: int | None = None
    """The number of tokens that it takes in a prompt."""
    width: int | tuple[int, ...] | None = None
    """The width of its vectors; one width for each text encoder if there are several."""
    base: str | None = None
    """The model family that it is for."""
    bytes: int | None = None
    sha256: str | None = None
    problem: Mapping[str, str] | None = None
    """The reason it cannot be used: a `code` and a `message`."""
    tag: str | None = None
    """The prompt tag that applies it, such as `<lora:ink:1>`."""
    default_weight: float | None = None
    """The weight that suits it, from a note beside it."""
    picture: str | None = None
    """The file that holds a picture for it: one beside it, or the model file itself."""

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON, in a fixed order."""
        return asdict(self)


class Conversion(NamedTuple):
    """A model file converted to safetensors."""

    kind: str
    tensors: int
    left_out: int
    """Tensors that do not belong to the model, such as training states."""
    pieces: Iterator[bytes]
    """The new file, in order."""


class ModelFiles(Protocol):
    """The interface of a pack's `model_files`."""

    def listed(self, files: Files, kind: str | None, model: str | None) -> Iterator[ModelFile]:
        """List the files in the model folders.

        Args:
            files: the folders.
            kind: list only files of this kind; None for all.
            model: the model to compare widths with; None to compare none.

        Raises:
            NodeError: the kind or the model does not exist.
        """
        ...

    def picture(self, path: Path) -> bytes | None:
        """The bytes of the picture that a file of `ModelFile.picture` holds; None if it cannot be read."""
        ...

    def converted(self, path: Path) -> Conversion:
        """Convert a file to safetensors.

        Raises:
            NodeError: it cannot be read, or its content cannot be stored as safetensors.
        """
        ...


def listed(files: Files, kind: str | None, model: str | None) -> list[ModelFile]:
    """The model files that the installed packs know; see `ModelFiles.listed`.

    Raises:
        NodeError: the kind or the model does not exist.
        GraphError: the code of a pack failed; names the author's file and line.
    """
    rows: list[ModelFile] = []
    for offered in _offered():
        with _author_errors(offered):
            rows += offered.listed(files, kind, model)
    return rows


def picture(path: Path) -> bytes | None:
    """The picture in a file that a pack has listed as `ModelFile.picture`; see `ModelFiles.picture`.

    Raises:
        GraphError: the code of a pack failed.
    """
    for offered in _offered():
        with _author_errors(offered):
            if (data := offered.picture(path)) is not None:
                return data
    return None


def converted(path: Path) -> Conversion:
    """A model file converted to safetensors; see `ModelFiles.converted`.

    Raises:
        NodeError: it cannot be read, or safetensors cannot hold its content.
        GraphError: the code of a pack failed, or no pack converts files. So may the iteration of the pieces.
    """
    for offered in _offered():
        with _author_errors(offered):
            conversion = offered.converted(path)
        return conversion._replace(pieces=_guarded(offered, conversion.pieces))
    raise GraphError([Problem("no_pack", "no installed pack can convert files")])


def _guarded(offered: ModelFiles, pieces: Iterator[bytes]) -> Iterator[bytes]:
    with _author_errors(offered):
        yield from pieces


@contextmanager
def _author_errors(offered: ModelFiles) -> Iterator[None]:
    """Turn what goes wrong in the code of a pack into a problem with the author's file and line."""
    try:
        yield
    except (SafelightError, OSError):
        raise
    except Exception as error:  # the code of a node pack may raise anything
        raise GraphError([hook_problem("model_files", offered, error)]) from error


def _offered() -> list[ModelFiles]:
    """The `model_files` of the installed packs."""
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    found = (getattr(point.load(), "model_files", None) for point in points)
    return [item for item in found if item is not None]
