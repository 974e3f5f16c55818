"""The order of a training's data: shuffled in each epoch, determined by a seed only."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from functools import lru_cache


class DataOrder:
    """Selects the items of each batch of a training.

    The order depends only on the seed and the number of the batch, so that a resumed training continues with
    the data that come next. Each epoch is a new shuffle. All items of a batch are of one group, such as
    pictures of one size. As in A1111, the items of a group that do not fill a batch are left out of the
    epoch; a group that is smaller than a batch is one batch.

    Args:
        groups: the group of each item.
        batch: the number of items in a batch.
        seed: the seed of the shuffles.

    Raises:
        ValueError: there are no items.
    """

    def __init__(self, groups: Sequence[Hashable], batch: int, seed: int) -> None:
        if not groups:
            raise ValueError("There are no items to train on.")
        members: dict[Hashable, list[int]] = {}
        for item, group in enumerate(groups):
            members.setdefault(group, []).append(item)
        self._members = [(items, min(batch, len(items))) for items in members.values()]
        self._seed = seed
        self.per_epoch = sum(len(items) // size for items, size in self._members)
        """The number of batches in an epoch."""
        self.largest = max(size for _, size in self._members)
        """The number of items in the largest batch."""
        self._epoch = lru_cache(maxsize=2)(self._shuffled)

    def batch(self, number: int) -> list[int]:
        """The items of a batch, counted from 0 over all epochs."""
        return self._epoch(number // self.per_epoch)[number % self.per_epoch]

    def _shuffled(self, epoch: int) -> list[list[int]]:
        rng = random.Random(f"{self._seed} {epoch}")
        batches = []
        for items, size in self._members:
            shuffled = rng.sample(items, len(items))
            batches += [shuffled[n * size : (n + 1) * size] for n in range(len(items) // size)]
        rng.shuffle(batches)
        return batches
