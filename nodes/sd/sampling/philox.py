"""The random numbers of torch's CUDA generator, computed on the CPU.

CUDA devices draw normal numbers with the counter-based generator Philox4x32-10 (Salmon et al., "Parallel
random numbers: as easy as 1, 2, 3", 2011) and the Box-Muller transform. Most pictures of A1111 begin with
such noise: its setting GPU draws it on the GPU, its setting NV on any device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Words = NDArray[np.uint32]

_ROUNDS = 10
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_UNIT = float(np.float32(2.3283064e-10))
"""2**-32 as CUDA's curand writes it."""
_TURN = float(np.float32(2.3283064e-10 * 6.2831855))


class PhiloxGenerator:
    """Normal numbers as `torch.randn(..., device="cuda")` draws them after `torch.manual_seed(seed)`.

    The numbers match for calls of up to about a million numbers, one pass of a GPU's threads.

    Args:
        seed: 0 to 2**64 - 1.
    """

    def __init__(self, seed: int) -> None:
        self._key = (seed & 0xFFFFFFFF, seed >> 32)
        self._calls = 0

    def randn(self, shape: Sequence[int]) -> Tensor:
        """The next normal numbers, float32 on the CPU."""
        count = math.prod(shape)
        counter = np.zeros((4, count), dtype=np.uint32)
        counter[0] = self._calls  # each thread of the GPU draws four numbers a call and uses the first
        counter[2] = np.arange(count, dtype=np.uint32)  # the number of the thread
        self._calls += 1
        first, second = philox(counter, self._key)[:2]
        return torch.from_numpy(_box_muller(first, second)).reshape(tuple(shape))


def philox(counter: Words, key: tuple[int, int]) -> Words:
    """Philox4x32-10: four random words for each counter.

    Args:
        counter: uint32 [4, count].
        key: two 32-bit words.
    """
    words = [counter[row].astype(np.uint64) for row in range(4)]
    low, high = key
    for _ in range(_ROUNDS):
        left, right = words[0] * _MULTIPLIERS[0], words[2] * _MULTIPLIERS[1]
        words = [
            (right >> np.uint64(32)) ^ words[1] ^ np.uint64(low),
            right & np.uint64(0xFFFFFFFF),
            (left >> np.uint64(32)) ^ words[3] ^ np.uint64(high),
            left & np.uint64(0xFFFFFFFF),
        ]
        low, high = (low + _KEY_STEPS[0]) & 0xFFFFFFFF, (high + _KEY_STEPS[1]) & 0xFFFFFFFF
    return np.stack(words).astype(np.uint32)


def _box_muller(first: Words, second: Words) -> NDArray[np.float32]:
    """The first of the two normal numbers from a pair of words, computed in float64 as A1111 does."""
    uniform = first.astype(np.float64) * _UNIT + _UNIT / 2
    angle = second.astype(np.float64) * _TURN + _TURN / 2
    return np.asarray(np.sqrt(-2 * np.log(uniform)) * np.sin(angle), dtype=np.float32)
