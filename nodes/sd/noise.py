"""Noise that depends on seeds alone: not on the device, nor on how many pictures are made at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class NoiseSource:
    """Standard normal noise for a batch: picture i draws from its own generator, seeded `seed + i`.

    Generators live on the CPU. A picture therefore gets the same noise alone and in a batch, on every device.
    The first draw starts the picture; later draws are what ancestral samplers add, as in diffusers with a
    list of generators.

    Args:
        seed: of the first picture, 0 to 2**64 - 1; it counts on from 0 past the end.
        count: pictures in the batch.
    """

    def __init__(self, seed: int, count: int = 1) -> None:
        if not 0 <= seed < 2**64:
            raise ValueError(f"The seed is {seed}; it must be within 0 and 2**64 - 1.")
        if count < 1:
            raise ValueError(f"A batch of {count} pictures is not possible; make at least 1.")
        self._generators = [torch.Generator().manual_seed((seed + i) % 2**64) for i in range(count)]

    def draw(self, shape: Sequence[int]) -> Tensor:
        """The next noise, float32 [count, *shape] on the CPU."""
        return torch.stack([torch.randn(tuple(shape), generator=one) for one in self._generators])

    def like(self, x: Tensor) -> Tensor:
        """The next noise, with the shape, dtype and device of `x`, one picture a row.

        Raises:
            ValueError: `x` holds another number of pictures than this source.
        """
        if len(x) != len(self._generators):
            raise ValueError(f"The noise is for {len(self._generators)} pictures, the latents hold {len(x)}.")
        return self.draw(x.shape[1:]).to(x)
