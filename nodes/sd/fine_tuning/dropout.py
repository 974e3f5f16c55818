"""Dropout with the random numbers of a training, so that a resumed training draws the same ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor


class Dropout:
    """Sets random numbers to zero during a training step.

    Args:
        share: the probability, from 0 to less than 1.
    """

    def __init__(self, share: float = 0.0) -> None:
        self._share = share
        self.generator: torch.Generator | None = None
        """The source of random numbers during a training step; None outside of steps: nothing is dropped."""

    @contextmanager
    def drawing_from(self, generator: torch.Generator) -> Iterator[None]:
        """Drop numbers inside a `with` block."""
        self.generator = generator
        try:
            yield
        finally:
            self.generator = None

    def repeated(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Two contexts: numbers that are drawn in the first one are drawn again in the second one."""
        generator = self.generator
        if generator is None:
            return nullcontext(), nullcontext()
        state = generator.get_state()
        return nullcontext(), self._drawing_again(generator, state)

    @contextmanager
    def _drawing_again(self, generator: torch.Generator, state: Tensor) -> Iterator[None]:
        """Drop as from an earlier state of the generator, which afterwards is as before."""
        own = generator.get_state()
        generator.set_state(state)
        try:
            with self.drawing_from(generator):
                yield
        finally:
            generator.set_state(own)

    @property
    def is_on(self) -> bool:
        """Whether numbers are dropped now."""
        return self._share > 0 and self.generator is not None

    def __call__(self, x: Tensor) -> Tensor:
        """A tensor with some numbers set to zero, and the others larger, so that the mean stays the same."""
        if not self.is_on:
            return x
        kept = torch.rand(x.shape, generator=self.generator) >= self._share
        return x * (kept.to(x) / (1 - self._share))
