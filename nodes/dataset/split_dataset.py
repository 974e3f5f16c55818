"""SplitDataset: splits a dataset into pictures to train on, to validate with, and to test with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, NamedTuple

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import Advanced, Range, Seed
from nodes.picture_sets.dataset import DatasetFile
from nodes.picture_sets.looks import NEAR_BITS, Looks, alike, looks_of
from nodes.picture_sets.partition import Groups, Part, partition
from nodes.values import Dataset


class SplitParts(NamedTuple):
    """The parts of a dataset."""

    train: Dataset
    validation: Dataset
    test: Dataset


class SplitDataset(Node, category="dataset", libraries=("numpy", "pillow")):
    """Split a dataset into pictures to train on, to validate with during the training, and to test with.

    The part of a picture depends only on the name of its file and on the seed, so it stays the same when
    other pictures are added or changed. All pictures that Preprocess made of one file are in the same part.
    """

    dataset: Dataset
    validation: Annotated[float, Range(0, 0.9, step=0.05)] = 0.2
    """The share of pictures for validation, on average. If that gives none, one picture is taken."""
    test: Annotated[float, Range(0, 0.9, step=0.05)] = 0.0
    """The share of pictures for the test at the end, on average."""
    seed: Seed = 0
    """Another seed gives another split."""
    keep_alike: Annotated[bool, Advanced] = True
    """Put duplicates, near duplicates and mirrored copies into the same part. A copy of a picture that was
    trained on would test nothing."""

    def run(self, ctx: Context) -> SplitParts:
        """Split the dataset.

        Raises:
            NodeError: the shares leave nothing to train on, or a file is missing or has changed.
        """
        if self.validation + self.test >= 1:
            message = "the shares of validation and test leave nothing to train on"
            hint = "use shares such as 0.2 and 0.1"
            raise NodeError(message, hint=hint, input="validation", code="bad_shares")
        found = partition(self._groups(ctx), validation=self.validation, test=self.test, seed=self.seed)
        for name, part in found.moved:
            ctx.warn(f"{part} would be empty, so {name} is used for it; choose another seed or larger shares")
        for part, share in (("validation", self.validation), ("test", self.test)):
            if share > 0 and part not in found.parts.values():
                ctx.warn(f"{part} is empty, because the dataset has too few pictures")

        def of(part: Part) -> Dataset:
            pictures = (one for one in self.dataset.pictures if found.parts[one.name] == part)
            return replace(self.dataset, pictures=tuple(pictures), left_out=())

        return SplitParts(of("train"), of("validation"), of("test"))

    def _groups(self, ctx: Context) -> list[Sequence[str]]:
        """Group the names of the files; the files of a group come into the same part."""
        by_name: dict[str, DatasetFile] = {picture.name: picture.file for picture in self.dataset.pictures}
        groups = Groups(by_name)
        by_digest: dict[str, str] = {}
        for name, file in by_name.items():
            groups.join(name, by_digest.setdefault(file.digest, name))
        if self.keep_alike:
            looks = looks_of(ctx, self.dataset, by_name.values())
            readable = [
                (name, own) for name, file in by_name.items() if isinstance(own := looks[file.digest], Looks)
            ]
            for pair in alike([own for _, own in readable], NEAR_BITS):
                groups.join(readable[pair.first][0], readable[pair.second][0])
        return groups.all()
