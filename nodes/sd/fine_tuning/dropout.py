"""Dropout with the random generator of a training, so that a resumed training draws the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor


class Dropout:
    """Sets randomly chosen numbers of a tensor to zero during a training step.

    Args:
        share: the probability of each number to be set to zero, from 0 to less than 1.
    """

    def __init__(self, share: float = 0.0) -> None:
        self._share = share
        self.generator: torch.Generator | None = None
        """The random generator during a training step; None outside of steps, when nothing is dropped."""

    @contextmanager
    def drawing_from(self, generator: torch.Generator) -> Iterator[None]:
        """Drop numbers inside a `with` block, with random numbers from a generator."""
        self.generator = generator
        try:
            yield
        finally:
            self.generator = None

    def repeated(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Return two contexts, of which the second one drops the same numbers as the first one."""
        generator = self.generator
        if generator is None:
            return nullcontext(), nullcontext()
        state = generator.get_state()
        return nullcontext(), self._drawing_again(generator, state)

    @contextmanager
    def _drawing_again(self, generator: torch.Generator, state: Tensor) -> Iterator[None]:
        """Drop numbers from an earlier state of the generator in a `with` block, then restore its state."""
        own = generator.get_state()
        generator.set_state(state)
        try:
            with self.drawing_from(generator):
                yield
        finally:
            generator.set_state(own)

    @property
    def is_on(self) -> bool:
        """Whether numbers are currently dropped."""
        return self._share > 0 and self.generator is not None

    def __call__(self, x: Tensor) -> Tensor:
        """Set random numbers of a tensor to zero, and enlarge the others so that the mean stays the same."""
        if not self.is_on:
            return x
        kept = torch.rand(x.shape, generator=self.generator) >= self._share
        return x * (kept.to(x) / (1 - self._share))
