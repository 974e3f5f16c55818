"""AugmentDataset: adds randomly changed copies of the pictures of a dataset."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Annotated

from engine.context import Context
from engine.node import Node
from engine.widgets import Advanced, Range, Seed
from nodes.picture_sets.dataset import DatasetPicture
from nodes.picture_sets.edits import Augment, Edit, Mirror
from nodes.values import Dataset

_DIGITS = 4
"""The random numbers are rounded, so that they are easy to read in the preview of the dataset."""


class AugmentDataset(Node, category="dataset"):
    """Add randomly rotated, enlarged and recoloured copies of the pictures of a dataset.

    All changes are off at first. Connect it after SplitDataset, only to the pictures to train on. Pictures
    keep their size, and no corner becomes empty. Each copy depends only on its file and the seed; the preview
    of the dataset lists the changes.
    """

    dataset: Dataset
    copies: Annotated[int, Range(1, 100)] = 1
    """How many copies of each picture."""
    rotation: Annotated[float, Range(0, 45, step=1)] = 0.0
    """The greatest angle in degrees, in both directions; 5 is usual."""
    zoom: Annotated[float, Range(0, 1, step=0.05)] = 0.0
    """The greatest enlargement as a share of the picture, such as 0.2 for up to 20 %."""
    mirrored: bool = False
    """Mirror half of the copies left to right."""
    brightness: Annotated[float, Range(0, 0.9, step=0.05)] = 0.0
    """The greatest change of the brightness, such as 0.1 for 10 % darker to 10 % brighter."""
    contrast: Annotated[float, Range(0, 0.9, step=0.05)] = 0.0
    """The greatest change of the contrast, as above."""
    saturation: Annotated[float, Range(0, 1, step=0.05)] = 0.0
    """The greatest change of the saturation, as above."""
    hue: Annotated[float, Range(0, 0.5, step=0.01)] = 0.0
    """The greatest change of the hue, as a share of the colour wheel. Even 0.05 gives other colours."""
    keep_originals: Annotated[bool, Advanced] = True
    """Keep the unchanged pictures, before their copies."""
    seed: Seed = 0
    """Another seed gives other copies."""

    def run(self, ctx: Context) -> Dataset:
        strengths = self.rotation, self.zoom, self.brightness, self.contrast, self.saturation, self.hue
        if not any(strengths) and not self.mirrored:
            return self.dataset
        pictures: list[DatasetPicture] = []
        for picture in self.dataset.pictures:
            if self.keep_originals:
                pictures.append(picture)
            pictures += [
                replace(picture, edits=(*picture.edits, *self._changes(picture, number)))
                for number in range(self.copies)
            ]
        return replace(self.dataset, pictures=tuple(pictures))

    def _changes(self, picture: DatasetPicture, number: int) -> tuple[Edit, ...]:
        """Draw the edits of one copy of a picture.

        Every random number is drawn even if its setting is off, so that changing one setting does not change
        the numbers of the others.
        """
        rng = random.Random(f"{self.seed} {number} {picture.key.decode()}")

        def drawn(middle: float, strength: float) -> float:
            return round(middle + strength * rng.uniform(-1, 1), _DIGITS)

        angle = drawn(0, self.rotation)
        zoom = round(1 + self.zoom * rng.random(), _DIGITS)
        brightness = drawn(1, self.brightness)
        contrast = drawn(1, self.contrast)
        saturation = drawn(1, self.saturation)
        augment = Augment(angle, zoom, brightness, contrast, saturation, drawn(0, self.hue))
        is_mirrored = rng.random() < 0.5 and self.mirrored
        edits: list[Edit] = [] if augment == Augment() else [augment]
        return tuple([*edits, Mirror("horizontal")] if is_mirrored else edits)
