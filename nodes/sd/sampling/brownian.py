"""Draws noise from a Brownian path, which k-diffusion's SDE samplers add between their steps.

The increment of a path between two noise levels does not depend on the other levels in use, so the noise of a
seed keeps its shape when the number of steps changes. The numbers are those of torchsde's `BrownianTree`,
which k-diffusion, A1111 and ComfyUI use for the DPM++ SDE samplers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

DIGITS = 6
"""Digits after the point to which levels are rounded: torchsde's tolerance of 1e-6."""
_POOL = 24
"""Words in the pool of numpy's seed sequence, as k-diffusion leaves torchsde's setting."""
_KEPT = 64
"""The number of cached increments; the path from the root to a level has at most about 25."""

Draw = Callable[[int, Sequence[int]], Tensor]
"""Draws the first normal numbers of a seed, as float32 of a shape."""


class _Interval(NamedTuple):
    """A node of the tree: an interval from repeated halving of the range."""

    start: float
    end: float
    depth: int = 0
    key: int = 0
    """Its index among the intervals of its depth, from the left."""

    @property
    def middle(self) -> float:
        return round(0.5 * (self.end + self.start), DIGITS)

    def halves(self) -> tuple[_Interval, _Interval]:
        below = self.depth + 1
        return (
            _Interval(self.start, self.middle, below, 2 * self.key),
            _Interval(self.middle, self.end, below, 2 * self.key + 1),
        )


class BrownianPath:
    """A Brownian path over a range of noise levels, as a binary tree of intervals, from a seed.

    Args:
        seed: the seed of the path.
        shape: the shape of the values of the path.
        low: the lowest level.
        high: the highest level.
        draw: draws the normal numbers of a seed.
    """

    def __init__(self, seed: int, shape: Sequence[int], low: float, high: float, draw: Draw) -> None:
        self._seed, self._shape, self._draw = seed, tuple(shape), draw
        self._root = _Interval(round(low, DIGITS), round(high, DIGITS))
        state = np.random.SeedSequence(seed, pool_size=_POOL).generate_state(3)
        self._whole = self._normal(int(state[0])) * math.sqrt(high - low)
        self._kept: dict[_Interval, Tensor] = {}

    def increment(self, start: float, end: float) -> Tensor:
        """Compute the change of the path between two levels; its variance is their distance."""
        start, end = (
            round(min(max(level, self._root.start), self._root.end), DIGITS) for level in (start, end)
        )
        if start >= end:
            return torch.zeros(self._shape)
        first, *others = self._parts(self._root, start, end, self._whole)
        for other in others:
            first = first + other
        return first

    def _parts(self, interval: _Interval, start: float, end: float, change: Tensor) -> list[Tensor]:
        """List the changes over the largest intervals of the tree that cover a range, from the left."""
        if (start, end) == (interval.start, interval.end):
            return [change]
        middle = interval.middle
        left, right = interval.halves()
        left_change, right_change = self._split(interval, left, change)
        parts = []
        if start < middle:
            parts += self._parts(left, start, min(end, middle), left_change)
        if end > middle:
            parts += self._parts(right, max(start, middle), end, right_change)
        return parts

    def _split(self, interval: _Interval, left: _Interval, change: Tensor) -> tuple[Tensor, Tensor]:
        """Split the change over an interval into the changes over its halves."""
        if (kept := self._kept.pop(left, None)) is None:
            whole = 1 / (interval.end - interval.start)
            before, after = left.end - interval.start, interval.end - left.end
            sequence = np.random.SeedSequence(
                self._seed, spawn_key=(interval.key, interval.depth), pool_size=_POOL
            )
            noise = self._normal(int(sequence.generate_state(4)[0]))
            kept = before * change * whole + math.sqrt(before * after * whole) * noise
            if len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
        self._kept[left] = kept  # the latest comes last
        return kept, change - kept

    def _normal(self, seed: int) -> Tensor:
        return self._draw(seed, self._shape)
