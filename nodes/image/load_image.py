"""LoadImage, LoadMask, ListImages and LoadImageFolder: pictures and masks from files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from engine.context import Context
from engine.document.graph import Entry, From, Graph, Param
from engine.errors import NodeError
from engine.files import Files
from engine.node import Node
from engine.values import Json
from engine.widgets import FileIn
from nodes.files.picture_files import KIND, fault_of_head, read_layer, refuse_others
from nodes.values import Image, Mask

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MOST_FILES = 10_000
"""The most pictures of one folder."""
_MOST_NAMED = 5
"""How many skipped files a warning names."""


class LoadedImage(NamedTuple):
    """A picture, and its opacity as a mask."""

    out: Image
    alpha: Mask


class LoadImage(Node, category="image", version=3, libraries=("pillow",)):
    """Load a picture from a file, and its transparency as a mask."""

    image: Annotated[str, FileIn(KIND)]
    """The picture: the name of a file in the `inputs` folder, or a path. PNG, JPEG, WEBP, BMP, TIFF or GIF,
    of at most 100 million pixels. The output `alpha` is on where the picture is opaque; put an InvertMask
    after it to inpaint the transparent parts."""
    transparent: Literal["white", "keep"] = "white"
    """`white` blends transparent parts with white; `keep` keeps the file's colours in them, for a Composite
    with `alpha` as its mask."""

    def fingerprint(self, files: Files) -> Json:
        """Return the digest of the file, so that a changed file gives a new result.

        Raises:
            NodeError: there is no such file, or it is not a picture.
        """
        return _picture_digest(files, self.image)

    def run(self, ctx: Context) -> LoadedImage:
        """Load the picture as RGB, rotated according to its EXIF data, with a mask of the same size."""
        import numpy

        path = ctx.files.find(KIND, self.image)
        picture, opacity = read_layer(path, input="image", over_white=self.transparent == "white")
        return LoadedImage(Image(numpy.array(picture)[None]), _mask(opacity, picture))


class LoadMask(Node, category="mask", libraries=("pillow",)):
    """Load a mask from one channel of a picture file."""

    image: Annotated[str, FileIn(KIND)]
    """The picture: the name of a file in the `inputs` folder, or a path."""
    channel: Literal["luminance", "alpha", "red", "green", "blue"] = "luminance"
    """The channel; white, opaque or full means on. A picture without transparency is opaque everywhere."""

    def fingerprint(self, files: Files) -> Json:
        """Return the digest of the file, so that a changed file gives a new result.

        Raises:
            NodeError: there is no such file, or it is not a picture.
        """
        return _picture_digest(files, self.image)

    def run(self, ctx: Context) -> Mask:
        """Load the channel: float32 [1, height, width]."""
        import numpy

        from nodes.pixels.levels import luminance, to_levels

        path = ctx.files.find(KIND, self.image)
        picture, opacity = read_layer(path, input="image", over_white=True)
        if self.channel == "alpha":
            return _mask(opacity, picture)
        levels = to_levels(numpy.array(picture)[None])
        if self.channel == "luminance":
            return Mask(luminance(levels).clip(0, 1))
        return Mask(levels[..., ("red", "green", "blue").index(self.channel)])


class ListImages(Node, category="image"):
    """List the picture files in a folder, in natural order: 2 before 10."""

    folder: Annotated[str, FileIn(KIND, folder=True)]
    """The folder: its name inside the `inputs` folder, or a path. Its sub-folders are not searched. Other
    files in it are skipped with a warning."""

    def fingerprint(self, files: Files) -> Json:
        """Return the names in the folder, and which of them are pictures.

        Raises:
            NodeError: there is no such folder, or it cannot be read.
        """
        names, skipped = _listing(files.find(KIND, self.folder))
        return [list(names), list(skipped)]

    def run(self, ctx: Context) -> list[str]:
        """List the names for LoadImage.

        Raises:
            NodeError: there are no pictures, or more than `MOST_FILES`.
        """
        names, skipped = _listing(ctx.files.find(KIND, self.folder))
        if skipped:
            shown = ", ".join(f"{name} ({why})" for name, why in list(skipped.items())[:_MOST_NAMED])
            more = len(skipped) - _MOST_NAMED
            shown += f" and {more} more" if more > 0 else ""
            ctx.warn(f"{self.folder}: files that are not pictures are skipped: {shown}")
        if not names:
            raise NodeError(
                f"{self.folder} contains no pictures", hint="put pictures into it", input="folder"
            )
        if len(names) > MOST_FILES:
            message = f"{self.folder} contains {len(names):,} pictures; the limit is {MOST_FILES:,}"
            raise NodeError(message, input="folder")
        return [f"{self.folder.rstrip('/')}/{name}" for name in names]


class LoadedFolder(NamedTuple):
    """The pictures of a folder, their opacity, and their file names."""

    images: list[Image]
    alphas: list[Mask]
    names: list[str]


class LoadImageFolder(Node, category="image", returns_graph=True):
    """Load all pictures of a folder as a list; the nodes after it run once for each picture.

    Each picture is loaded and cached separately: if one file changes, only the steps for that file run again.
    """

    folder: Annotated[str, FileIn(KIND, folder=True)]
    """The folder: its name inside the `inputs` folder, or a path. Its sub-folders are not searched. Other
    files in it are skipped with a warning."""
    transparent: Literal["white", "keep"] = "white"
    """`white` blends transparent parts with white; `keep` keeps the files' colours in them."""

    def run(self, ctx: Context) -> LoadedFolder:
        graph = Graph()
        graph.nodes["list"] = Entry("ListImages", {"folder": Param("folder")})
        graph.nodes["load"] = Entry(
            "LoadImage", {"image": From("list", "out"), "transparent": Param("transparent")}
        )
        graph.outputs["images"] = From("load", "out")
        graph.outputs["alphas"] = From("load", "alpha")
        graph.outputs["names"] = From("list", "out")
        return ctx.expand(graph)  # type: ignore[no-any-return]


def _picture_digest(files: Files, name: str) -> str:
    path = files.find(KIND, name)
    digest = files.digest(path)
    refuse_others(path, input="image")
    return digest


def _mask(opacity: Picture | None, picture: Picture) -> Mask:
    """Convert the opacity of a picture to a mask, float32 [1, height, width]."""
    import numpy

    from nodes.pixels.levels import to_levels

    if opacity is None:
        return Mask(numpy.ones((1, picture.height, picture.width), numpy.float32))
    return Mask(to_levels(numpy.array(opacity)[None]))


def _listing(folder: Path) -> tuple[list[str], dict[str, str]]:
    """List the names of the pictures in a folder; also returns why each other file is skipped."""
    if not folder.is_dir():
        hint = "name a folder; load a single picture with LoadImage"
        raise NodeError(f"{folder} is not a folder", hint=hint, input="folder", code="not_a_folder")
    names: list[str] = []
    skipped: dict[str, str] = {}
    try:
        files = sorted((path.name for path in folder.iterdir() if path.is_file()), key=_natural)
    except OSError as error:
        message = f"{folder} cannot be read: {error.strerror or error}"
        raise NodeError(message, input="folder", code="unreadable") from None
    for name in files:
        if name.startswith("."):
            continue
        try:
            fault = fault_of_head(folder / name)
        except OSError as error:
            fault = error.strerror or str(error)
        if fault is None:
            names.append(name)
        else:
            skipped[name] = fault
    return names, skipped


def _natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a sort key that compares numbers in names by value, and letters without case."""
    parts = re.findall(r"\d+|\D+", name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], name
