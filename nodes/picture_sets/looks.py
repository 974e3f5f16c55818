"""Describes the pictures of a dataset by sizes, hashes and colours, to find duplicates and small pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

from engine.context import Context
from engine.errors import NodeError
from engine.file_facts import FactKind
from nodes.picture_sets.dataset import Dataset, DatasetFile

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_KIND = FactKind("picture looks", 1)
FILE_ERRORS = frozenset({"bad_picture", "bad_image_mode", "too_large"})
"""The codes of errors that lie in the picture file itself."""
_COLOURS_SIDE = 8
NEAR_BITS = 6
"""Near duplicates differ in at most this many bits of the dHash, unless a user wants another number."""
NEAR_DCT = 16
"""Near duplicates differ in at most this many bits of the pHash."""
NEAR_COLOURS = 32.0
"""The greatest mean difference of the colours of near duplicates, of 255."""


@dataclass(frozen=True)
class Looks:
    """The size, hashes and colours of a picture file."""

    width: int
    height: int
    pixels: str
    """The sha256 of its size, colours and transparency."""
    difference: int
    """Its dHash."""
    dct: int
    """Its pHash."""
    mirrored_difference: int
    """The dHash of the mirrored picture; likewise the next."""
    mirrored_dct: int
    colours: tuple[int, ...]
    """The colours of the picture reduced to 8 x 8 pixels: 192 numbers from 0 to 255."""

    def is_near(self, other: Looks, bits: int, *, mirrored: bool = False) -> bool:
        """Return whether two pictures look alike.

        Both hashes and the colours must be near, since different flat drawings often have the same dHash.

        Args:
            other: the other picture.
            bits: the largest number of bits in which the dHashes may differ.
            mirrored: True to compare with the mirrored other picture.
        """
        from nodes.pixels.perceptual_hash import distance

        difference, dct = (
            (other.mirrored_difference, other.mirrored_dct) if mirrored else (other.difference, other.dct)
        )
        return (
            distance(self.difference, difference) <= bits
            and distance(self.dct, dct) <= NEAR_DCT
            and self._colour_difference(other, mirrored) <= NEAR_COLOURS
        )

    def _colour_difference(self, other: Looks, mirrored: bool) -> float:
        import numpy as np

        shape = (_COLOURS_SIDE, _COLOURS_SIDE, 3)
        mine, theirs = (np.array(looks.colours, float).reshape(shape) for looks in (self, other))
        return float(np.abs(mine - (theirs[:, ::-1] if mirrored else theirs)).mean())


class Resemblance(NamedTuple):
    """Two pictures that look alike, by their indices in a list."""

    first: int
    second: int
    """The index of the later one."""
    mirrored: bool
    """True if one looks like the other mirrored."""


def alike(looks: Sequence[Looks], bits: int, *, mirrored: bool = True) -> Iterator[Resemblance]:
    """Find all pairs of pictures that look alike, in the order of the later picture.

    Args:
        looks: the pictures.
        bits: the largest number of bits in which their dHashes may differ.
        mirrored: False to ignore mirrored pictures.
    """
    import numpy as np

    hashes = np.array([one.difference for one in looks], np.uint64)
    turned = np.array([one.mirrored_difference for one in looks], np.uint64)
    for second, own in enumerate(looks):
        for is_mirrored, others in ((False, hashes), (True, turned))[: 2 if mirrored else 1]:
            differing = np.bitwise_count(others[:second] ^ hashes[second])
            for first in np.nonzero(differing <= bits)[0].tolist():
                if own.is_near(looks[first], bits, mirrored=is_mirrored):
                    yield Resemblance(first, second, is_mirrored)


def looks_of(ctx: Context, dataset: Dataset, wanted: Iterable[DatasetFile]) -> dict[str, Looks | NodeError]:
    """Compute the `Looks` of picture files; each file is read only once, and the results are cached.

    Args:
        ctx: finds the files and shows the progress.
        dataset: the dataset of the files.
        wanted: the files.

    Returns:
        by digest, the `Looks`, or the error if the file cannot be read as a picture.

    Raises:
        NodeError: a file is missing or has changed.
    """
    by_digest = {file.digest: file for file in wanted}
    found: dict[str, Looks | NodeError] = {}
    for digest, text in ctx.files.facts.recall(_KIND, by_digest).items():
        plain = json.loads(text)
        found[digest] = Looks(**{**plain, "colours": tuple(plain["colours"])})
    for digest in ctx.track([digest for digest in by_digest if digest not in found], unit="pictures"):
        try:
            looks = _described(*dataset.layers(ctx.files, by_digest[digest]))
        except NodeError as error:
            if error.code not in FILE_ERRORS:
                raise
            found[digest] = error
        else:
            found[digest] = looks
            ctx.files.facts.remember(_KIND, {digest: json.dumps(asdict(looks))})
    return found


def _described(picture: Picture, alpha: Picture | None) -> Looks:
    from PIL import Image, ImageOps

    from nodes.pixels.perceptual_hash import dct_hash, difference_hash

    content = hashlib.sha256(repr(picture.size).encode())
    content.update(picture.tobytes())
    if alpha is not None and alpha.getextrema() != (255, 255):
        content.update(alpha.tobytes())
    mirrored = ImageOps.mirror(picture)
    small = picture.resize((_COLOURS_SIDE, _COLOURS_SIDE), Image.Resampling.BOX)
    return Looks(
        picture.width,
        picture.height,
        content.hexdigest(),
        difference_hash(picture),
        dct_hash(picture),
        difference_hash(mirrored),
        dct_hash(mirrored),
        tuple(small.tobytes()),
    )
