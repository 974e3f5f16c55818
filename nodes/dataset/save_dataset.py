"""SaveDataset: writes the pictures, captions and masks of a dataset to a folder."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from engine import strict_json, whole_file
from engine.context import Context
from engine.errors import GraphError, NodeError
from engine.files import Files
from engine.node import Node
from engine.values import Json, canonical, sha256
from engine.widgets import Advanced, Range
from nodes.files.whole_folder import draft_folder, name_folder
from nodes.picture_sets.dataset import KIND, DatasetPicture
from nodes.values import Dataset

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_MANIFEST = ".safelight-dataset.json"
"""A hidden file that lists the files of a written folder, so that the next run can use it again."""
_LONGEST = 150
"""The most bytes of a file name that the name of the picture, or its caption, may take."""


class SaveDataset(Node, category="dataset", pure=False, libraries=("pillow",)):
    """Write the pictures of a dataset, with their edits, captions and masks, to a new folder.

    LoadDataset, A1111 and kohya's sd-scripts read the folder. It appears under its name only when it is
    complete, and no folder is overwritten: if the name is taken, the next free number is added. A folder that
    already holds the same dataset is used again.
    """

    dataset: Dataset
    folder: str = "dataset"
    """The folder to write, inside the outputs folder."""
    names: Literal["file name", "caption"] = "file name"
    """What the name of each file ends with, after its number. Characters that a file name cannot have are
    replaced."""
    captions: Literal["txt", "jsonl", "none"] = "txt"
    """How to write captions: a text file beside each picture, or the file `metadata.jsonl`. Columns, such as
    the artist, are written to `metadata.jsonl` in any case."""
    masks: bool = True
    """Write the mask of a picture as `NAME-masklabel.png`. Otherwise transparency is lost."""
    format: Annotated[Literal["png", "jpg", "webp"], Advanced] = "png"
    """`png` is lossless; `jpg` and `webp` are smaller."""
    quality: Annotated[int, Range(1, 100), Advanced] = 95
    """The quality of `jpg` and `webp`, 1 to 100."""

    def run(self, ctx: Context) -> str:
        """Write the folder, and return its path.

        Raises:
            NodeError: the dataset is empty, the folder lies in a folder of its pictures or cannot be written,
                or a picture cannot be read.
        """
        if not self.dataset.pictures:
            raise NodeError("the dataset has no pictures", input="dataset", code="empty_dataset")
        target = self._target(ctx.files)
        recipe = sha256(canonical([self.dataset.pack().digest, self._options(), version("pillow")]))
        free: Path | None = None
        for path in _numbered(target):
            if not os.path.lexists(path):
                free = path
                break
            if _holds(ctx.files, path, recipe):
                return str(path)
        assert free is not None
        try:
            with draft_folder(target.parent) as draft:
                self._write(ctx, draft, recipe)
                for path in _numbered(target):
                    try:
                        name_folder(draft, path)
                    except FileExistsError:
                        if _holds(ctx.files, path, recipe):  # another process has just written it
                            return str(path)
                        continue
                    return str(path)
        except OSError as error:
            message = f"{target} cannot be written: {error.strerror or error}"
            raise NodeError(message, input="folder", code="unwritable") from None
        raise AssertionError("the numbers do not end")

    def _target(self, files: Files) -> Path:
        """Return the path of the folder to write.

        Raises:
            NodeError: the name leads out of the outputs folder, or into a folder of the dataset.
        """
        target = files.target(self.folder)
        sources = {picture.file.folder for picture in self.dataset.pictures}
        for source in sources:
            try:
                root = files.find(KIND, source).resolve()
            except NodeError:
                continue  # the pictures are found by their digests
            if root == target.resolve() or root in target.resolve().parents:
                message = f"{self.folder!r} lies in the folder {source!r} of the pictures"
                hint = "choose another name; a dataset does not overwrite its own pictures"
                raise NodeError(message, hint=hint, input="folder", code="own_source")
        return target

    def _options(self) -> Json:
        return {name: cast(Json, value) for name, value in self if name not in ("dataset", "folder")}

    def _write(self, ctx: Context, folder: Path, recipe: str) -> None:
        """Write all files into a folder, which must exist.

        Raises:
            OSError: a file cannot be written.
            NodeError: a picture cannot be read.
        """
        digests: dict[str, str] = {}

        def write(name: str, data: bytes) -> None:
            whole_file.replace(folder / name, data)
            digests[name] = sha256(data)

        rows: list[str] = []
        for name, picture in ctx.track(list(self._named()), unit="pictures"):
            file = f"{name}.{self.format}"
            write(file, self._encoded(self.dataset.open(ctx.files, picture)))
            if self.masks and (mask := self.dataset.mask(ctx.files, picture)) is not None:
                write(f"{name}-masklabel.png", _png(mask))
            row: dict[str, Any] = {"file_name": file}
            if self.captions == "jsonl":
                row["text"] = picture.caption
            elif self.captions == "txt":
                write(f"{name}.txt", picture.caption.encode("utf-8", "replace"))
            row |= {column: value for column, value in picture.columns.items() if column not in row}
            rows.append(json.dumps(row))
        if self.captions == "jsonl" or any(picture.columns for picture in self.dataset.pictures):
            write("metadata.jsonl", "".join(f"{row}\n" for row in rows).encode())
        whole_file.replace(folder / _MANIFEST, canonical({"recipe": recipe, "files": digests}))

    def _named(self) -> Iterator[tuple[str, DatasetPicture]]:
        """Name the pictures as A1111 names files: `00003-1-a cat`. Yields each name, then its picture.

        The first number counts the source files, the second one the pictures that were made from one file.
        """
        numbers: dict[tuple[str, str], int] = {}
        made: dict[int, int] = {}
        for picture in self.dataset.pictures:
            number = numbers.setdefault((picture.file.folder, picture.name), len(numbers))
            made[number] = made.get(number, -1) + 1
            text = picture.caption if self.names == "caption" else PurePosixPath(picture.name).stem
            yield f"{number:05}-{made[number]}-{_as_name(text)}", picture

    def _encoded(self, picture: Picture) -> bytes:
        if self.format == "png":
            return _png(picture)
        file = io.BytesIO()
        picture.save(file, {"jpg": "JPEG", "webp": "WEBP"}[self.format], quality=self.quality)
        return file.getvalue()


def _numbered(target: Path) -> Iterator[Path]:
    """Yield the paths to try for a folder: `dataset`, `dataset_0002`, `dataset_0003` and so on."""
    yield target
    for number in itertools.count(2):
        yield target.with_name(f"{target.name}_{number:04}")


def _holds(files: Files, folder: Path, recipe: str) -> bool:
    """Check whether a folder was written by this recipe and has not been changed since.

    Args:
        files: computes the digests of the files.
        folder: a folder with a manifest; without one, the result is False.
        recipe: the digest of the dataset and the settings.
    """
    try:
        manifest: Any = strict_json.parse((folder / _MANIFEST).read_text("utf-8"))
        return manifest["recipe"] == recipe and all(
            files.digest(folder / name) == digest for name, digest in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, GraphError, NodeError):
        return False


def _png(picture: Picture) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _as_name(text: str) -> str:
    """Convert a text to a part of a file name, without characters that a file system does not allow."""
    plain = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*]+', "_", text.encode("utf-8", "replace").decode())
    return plain.encode()[:_LONGEST].decode("utf-8", "ignore").strip(" .") or "picture"
