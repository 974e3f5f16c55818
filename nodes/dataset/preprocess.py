"""Preprocess: resizes, crops, splits and mirrors the pictures of a dataset for a training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import Advanced, Range
from nodes.dataset.dataset_parts import for_each_picture, without
from nodes.node_problem import node_problem
from nodes.picture_sets import fitting
from nodes.picture_sets.edits import Crop, Edit, Mirror, Pad, Resize, Size
from nodes.picture_sets.looks import FILE_ERRORS
from nodes.values import Dataset

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


class Preprocess(Node, category="dataset", returns_graph=True, libraries=("numpy", "pillow")):
    """Resize, crop, split and mirror the pictures of a dataset for a training.

    The files are not changed: the dataset holds the edits, which are applied when a picture is read. Masks
    are edited in the same way; a picture without a mask has its transparency as mask. SaveDataset writes the
    results to a folder. A file that cannot be read is left out with a warning.
    """

    dataset: Dataset
    width: Annotated[int, Range(8, 4096, step=8)] = 512
    """The width to train at, in pixels."""
    height: Annotated[int, Range(8, 4096, step=8)] = 512
    """The height to train at, in pixels."""
    fit: Literal["crop", "stretch", "pad", "buckets", "auto size", "keep"] = "crop"
    """How pictures get their size. `crop` cuts off the sides that do not fit; `stretch` changes the
    proportions; `pad` adds borders. `buckets` gives each picture the nearest of several sizes of the area
    `width` x `height` (aspect buckets of kohya), and `auto size` the largest that fits its proportions
    (A1111); train with `resize` = `none` then. `keep` changes nothing."""
    focus: Literal["middle", "focal point"] = "middle"
    """Where to crop: in the middle, or around the focal point, which is found from edges and details."""
    split: bool = False
    """Split pictures that are much longer than `width` x `height` into overlapping pieces of that size
    (A1111: split oversized images)."""
    mirrored: bool = False
    """Add a copy of each picture that is mirrored left to right."""
    mirrored_vertically: Annotated[bool, Advanced] = False
    """Add a copy of each picture that is mirrored top to bottom."""
    turned: Annotated[bool, Advanced] = False
    """Add a copy of each picture that is turned by 180 degrees (A1111: flip both)."""
    split_threshold: Annotated[float, Range(0, 1, step=0.05), Advanced] = 0.5
    """For `split`: pictures whose short side, relative to the long one, is at most this share of that of
    `width` x `height` are split."""
    split_overlap: Annotated[float, Range(0, 0.9, step=0.05), Advanced] = 0.2
    """For `split`: the least overlap of two pieces, as a share of a piece."""
    edge_weight: Annotated[float, Range(0, 1, step=0.05), Advanced] = 0.5
    """For the focal point: the weight of strong edges and corners."""
    entropy_weight: Annotated[float, Range(0, 1, step=0.05), Advanced] = 0.15
    """For the focal point: the weight of the part with the most detail (entropy)."""
    smallest_side: Annotated[int, Range(8, 4096, step=8), Advanced] = 256
    """The shortest side of `buckets` and `auto size`; A1111 uses 384 for `auto size`."""
    largest_side: Annotated[int, Range(8, 4096, step=8), Advanced] = 1024
    """The longest side of `buckets` and `auto size`; A1111 uses 768 for `auto size`."""
    side_step: Annotated[int, Range(8, 512, step=8), Advanced] = 64
    """The sides of `buckets` and `auto size` are multiples of this."""
    enlarge: Annotated[bool, Advanced] = True
    """For `buckets`: also enlarge small pictures. Off: they keep their size, cut to multiples of
    `side_step`."""
    pad_color: Annotated[str, Advanced] = "black"
    """For `pad`: the colour of the borders, such as `#808080`. They are masked, so that `loss_mask` of a
    training ignores them."""

    def run(self, ctx: Context) -> Dataset:
        if len(self.dataset) > 1:
            return ctx.expand(for_each_picture(self))  # type: ignore[no-any-return]
        if not self.dataset.pictures:
            return self.dataset
        (picture,) = self.dataset.pictures
        try:
            pixels = self.dataset.open(ctx.files, picture)
        except NodeError as error:
            if error.code not in FILE_ERRORS:
                raise
            return without(ctx, self.dataset, error.message)
        variants = self._variants(pixels)
        if not variants:
            reason = f"no size fits its proportions, {pixels.width} x {pixels.height}"
            return without(ctx, self.dataset, reason)
        return Dataset(
            tuple(
                replace(picture, edits=(*picture.edits, *_needed(pixels.size, edits))) for edits in variants
            ),
            self.dataset.left_out,
        )

    def _variants(self, picture: Picture) -> list[tuple[Edit, ...]]:
        """List the edits of each picture to make from one: pieces, each followed by its mirrored copies."""
        target = self.width, self.height
        pieces = []
        if self.split:
            threshold, overlap = self.split_threshold, self.split_overlap
            pieces = fitting.split(picture.size, target, threshold=threshold, overlap=overlap)
        if not pieces and (edits := self._fitted(picture)) is not None:
            pieces = [edits]
        copies: list[tuple[Edit, ...]] = [()]
        if self.mirrored:
            copies.append((Mirror("horizontal"),))
        if self.mirrored_vertically:
            copies.append((Mirror("vertical"),))
        if self.turned:
            copies.append((Mirror("both"),))
        return [(*piece, *copy) for piece in pieces for copy in copies]

    def _fitted(self, picture: Picture) -> tuple[Edit, ...] | None:
        """Return the edits that fit a picture to the size to train at; None if no size suits it."""
        from nodes.pixels.colors import rgb

        size, target = picture.size, (self.width, self.height)
        if self.fit == "keep":
            return ()
        if self.fit == "stretch":
            return fitting.stretched(target)
        if self.fit == "pad":
            with node_problem(input="pad_color"):
                return fitting.padded(size, target, rgb(self.pad_color))
        resized = size
        if self.fit != "crop":
            if self.smallest_side > self.largest_side:
                message = "smallest_side is larger than largest_side"
                raise NodeError(message, input="smallest_side", code="bad_sizes")
            area = self.width * self.height
            sizes = fitting.Sizes(self.smallest_side, self.largest_side, self.side_step, area)
            if self.fit == "auto size":
                found = fitting.auto_size(size, sizes)
            elif self.enlarge:
                found = fitting.bucket(size, fitting.buckets(sizes))
            else:
                resized, found = fitting.own_bucket(size, sizes)
            if found is None or not all(found):
                return None
            target = found
        return (Resize(*resized), *fitting.cropped(resized, target, self._focus(picture)))

    def _focus(self, picture: Picture) -> fitting.Focus | None:
        from PIL import Image

        from nodes.pixels.focal_point import focal_point

        if self.focus == "middle":
            return None

        def focus(resized: Size, window: Size) -> tuple[int, int]:
            fitted = picture.resize(resized, Image.Resampling.LANCZOS)
            weights = {"edge_weight": self.edge_weight, "entropy_weight": self.entropy_weight}
            return focal_point(fitted, window, **weights)

        return focus


def _needed(size: Size, edits: tuple[Edit, ...]) -> tuple[Edit, ...]:
    """Drop the edits that would leave a picture of this size unchanged."""
    needed = []
    for edit in edits:
        if not (isinstance(edit, Resize | Crop | Pad) and edit.size(size) == size):
            needed.append(edit)
        size = edit.size(size)
    return tuple(needed)
