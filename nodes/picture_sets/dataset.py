"""Dataset: pictures for training with captions, as names, digests and edits without pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from engine.errors import NodeError
from engine.file_facts import FactKind
from engine.files import Files
from engine.listed_pictures import ListedPicture, UnlistedFile
from engine.values import Json, Packed, Value, canonical
from nodes.files.picture_files import read_alpha, read_layer, read_rgb, read_size
from nodes.picture_sets.edits import Edit, Pad, Size, edited, edits_as_json, edits_from_json, size_after

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

KIND = "inputs"
"""The kind of folder that contains datasets."""

_SIZE = FactKind("picture size", 1)

CaptionSource = Literal["txt", "caption", "jsonl", "file name", "edited", ""]
"""The source of a caption: a text file of the same name, a line of the JSONL file, the name, or a node."""


@dataclass(frozen=True)
class DatasetFile:
    """A file of a dataset."""

    folder: str
    """The folder that was loaded: a name inside the `inputs` folder, or a path."""
    name: str
    """The path inside that folder, with `/`."""
    digest: str
    """The sha256 of its content, in hex."""


@dataclass(frozen=True)
class LeftOut:
    """A file that looks like a picture of the dataset but cannot be used."""

    name: str
    reason: str


@dataclass(frozen=True)
class DatasetPicture:
    """One picture of a dataset: a file, the edits that are applied when it is read, and its caption."""

    file: DatasetFile
    caption: str = ""
    caption_source: CaptionSource = ""
    columns: Mapping[str, Json] = field(default_factory=dict)
    """Values for templates, such as artist and period: the columns of the JSONL file, and `folder`, the path
    of its sub-folder."""
    mask: DatasetFile | None = None
    """The mask file, which is white in the areas to train on; None if there is none."""
    edits: tuple[Edit, ...] = ()
    """The edits that are applied to the picture and to its mask whenever they are read."""
    flags: tuple[str, ...] = ()
    """Tags that nodes attach to a picture, such as `duplicate`."""

    @property
    def name(self) -> str:
        """The name of the picture's file. Pictures with different edits may have the same file."""
        return self.file.name

    @property
    def printable_name(self) -> str:
        """The name with `?` for each byte that is not valid text, since graphs hold only text."""
        return self.name.encode(errors="replace").decode()

    @property
    def own_caption(self) -> str:
        """The caption, unless it is only the words of the file name."""
        return "" if self.caption_source == "file name" else self.caption

    @property
    def key(self) -> bytes:
        """A key that is equal for pictures with the same content and the same edits."""
        return canonical([self.file.digest, edits_as_json(self.edits)])


@dataclass(frozen=True)
class Dataset(Value, family="training", lossless=True):
    """Pictures with captions. It holds names, digests, edits and texts; the pixels stay in the files."""

    pictures: tuple[DatasetPicture, ...]
    left_out: tuple[LeftOut, ...] = ()
    """Files that look like pictures but cannot be used, with the reasons, for reports."""

    def __len__(self) -> int:
        return len(self.pictures)

    def open(self, files: Files, picture: DatasetPicture) -> Picture:
        """Open a picture in mode RGB, with its edits.

        Raises:
            NodeError: the file is missing, has changed since the dataset was loaded, or cannot be read.
        """
        with self._unchanged(files, picture.file) as path:
            pixels = read_rgb(path, input="dataset")
        return edited(pixels, picture.edits)

    def layers(self, files: Files, file: DatasetFile) -> tuple[Picture, Picture | None]:
        """Open a picture file in mode RGB and its transparency in mode L, without edits.

        Raises:
            NodeError: as `open`.
        """
        with self._unchanged(files, file) as path:
            return read_layer(path, input="dataset", over_white=True)

    def mask(self, files: Files, picture: DatasetPicture) -> Picture | None:
        """Open the mask of a picture in mode L, 255 where to train: its mask file, or its transparency.

        A mask file of another size is resized to that of the picture's file; then the edits of the picture
        are applied. Padding is black. Returns None if the picture has neither a mask, transparency nor
        padding.

        Raises:
            NodeError: as `open`.
        """
        from PIL import Image

        levels = None
        with self._unchanged(files, picture.file) as path:
            if picture.mask is None:
                levels = read_alpha(path, input="dataset")
            size = read_size(path, input="dataset")
        if picture.mask is not None:
            with self._unchanged(files, picture.mask) as path:
                levels = read_rgb(path, input="dataset").convert("L")
        elif levels is None:
            if not any(isinstance(edit, Pad) for edit in picture.edits):
                return None
            levels = Image.new("L", size, 255)
        if levels.size != size:
            levels = levels.resize(size, Image.Resampling.BOX)
        return edited(levels, picture.edits, mask=True)

    def path(self, files: Files, file: DatasetFile) -> Path:
        """Find a file of the dataset: in its folder, or else at the last known path of its content.

        Raises:
            NodeError: the file is missing or has changed.
        """
        path = self._place(files, file)
        if path is None:
            seen = files.last_seen(file.digest)
            if seen is None or not seen.path.exists() or files.digest(seen.path) != file.digest:
                raise NodeError(
                    f"the picture {file.name!r} of the dataset is missing",
                    hint="run again to use the current content of the folder",
                    input="dataset",
                    code="missing_file",
                )
            return seen.path
        if files.digest(path) != file.digest:
            hint = "run again to use its current content"
            message = f"the picture {file.name!r} changed after the dataset was loaded"
            raise NodeError(message, hint=hint, input="dataset", code="changed_file")
        return path

    @staticmethod
    def _place(files: Files, file: DatasetFile) -> Path | None:
        """Return the path of a file in its folder; None if the file is not there."""
        try:
            # The name is joined here, since `find` would refuse a colon or a backslash in it.
            path = files.find(KIND, file.folder).joinpath(*file.name.split("/"))
        except NodeError:
            return None
        return path if path.exists() else None

    def summary(self) -> str:
        """Return the number of pictures, and of those with a caption, in words."""
        captioned = sum(1 for picture in self.pictures if picture.caption)
        count = f"{len(self)} picture{'s' if len(self) != 1 else ''}"
        return f"{count}, {captioned} with captions" if captioned else count

    def list_pictures(self, files: Files) -> tuple[list[ListedPicture], list[UnlistedFile]]:
        """List the pictures with captions and sizes, and the files left out; see `engine.listed_pictures`."""
        sizes = self._sizes(files)
        rows = []
        for picture in self.pictures:
            size, problem = sizes[picture.file.digest]
            width, height = size or (None, None)
            used_width, used_height = size_after(size, picture.edits) if size else (None, None)
            rows.append(
                ListedPicture(
                    name=picture.name,
                    caption=picture.caption,
                    caption_source=picture.caption_source,
                    digest=picture.file.digest,
                    file_width=width,
                    file_height=height,
                    width=used_width,
                    height=used_height,
                    edits=[edit.text() for edit in picture.edits],
                    flags=picture.flags,
                    problem=problem,
                )
            )
        return rows, [UnlistedFile(file.name, file.reason) for file in self.left_out]

    def draw_picture(self, files: Files, place: int, side: int) -> Picture:
        """Read a picture with its edits, and shrink it to fit in `side` x `side` pixels.

        Raises:
            NodeError: as `open`.
        """
        picture = self.pictures[place]
        with self._unchanged(files, picture.file) as path:
            pixels = read_rgb(path, input="dataset", side=None if picture.edits else side)
        pixels = edited(pixels, picture.edits)
        pixels.thumbnail((side, side))
        return pixels

    def _sizes(self, files: Files) -> dict[str, tuple[Size | None, str | None]]:
        """Return the size of each file, or None and why it cannot be read, by digest. Sizes are cached."""
        by_digest = {picture.file.digest: picture.file for picture in self.pictures}
        known = files.facts.recall(_SIZE, by_digest)
        problems: dict[str, str] = {}
        new: dict[str, str] = {}
        for digest in by_digest.keys() - known.keys():
            try:
                with self._unchanged(files, by_digest[digest]) as path:
                    width, height = read_size(path, input="dataset")
            except NodeError as error:
                problems[digest] = error.message
            else:
                new[digest] = f"{width} {height}"
        files.facts.remember(_SIZE, new)
        sizes: dict[str, tuple[Size | None, str | None]] = {
            digest: (None, problem) for digest, problem in problems.items()
        }
        for digest, text in {**known, **new}.items():
            width, height = map(int, text.split())
            sizes[digest] = (width, height), None
        return sizes

    def pack(self) -> Packed:
        """Convert the dataset to JSON."""
        folders: dict[str, int] = {}

        def packed(file: DatasetFile | None) -> Json:
            if file is None:
                return None
            return [folders.setdefault(file.folder, len(folders)), file.name, file.digest]

        pictures: list[Json] = [
            {
                "file": packed(picture.file),
                "caption": picture.caption,
                "source": picture.caption_source,
                "columns": dict(picture.columns),
                "mask": packed(picture.mask),
                "edits": edits_as_json(picture.edits),
                "flags": list(picture.flags),
            }
            for picture in self.pictures
        ]
        left_out: list[Json] = [[file.name, file.reason] for file in self.left_out]
        return Packed(self.wire, {"folders": [*folders], "pictures": pictures, "left_out": left_out})

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """Restore the dataset from what `pack` returned."""
        plain = cast("dict[str, Any]", meta)
        pictures = tuple(_picture(row, plain["folders"]) for row in plain["pictures"])
        return cls(pictures, tuple(LeftOut(*row) for row in plain["left_out"]))

    @contextmanager
    def _unchanged(self, files: Files, file: DatasetFile) -> Iterator[Path]:
        """Yield the path of a file; raises a `NodeError` if the file changes while the block reads it."""
        with files.unchanged():
            yield self.path(files, file)


def _picture(plain: dict[str, Any], folders: list[str]) -> DatasetPicture:
    def unpacked(row: list[Any]) -> DatasetFile:
        return DatasetFile(folders[row[0]], row[1], row[2])

    return DatasetPicture(
        unpacked(plain["file"]),
        plain["caption"],
        plain["source"],
        plain["columns"],
        None if plain["mask"] is None else unpacked(plain["mask"]),
        edits_from_json(plain["edits"]),
        tuple(plain["flags"]),
    )
