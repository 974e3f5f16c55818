"""Sampling that changes only the masked part of a latent."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from nodes.sd.sampling.tables import Table


class BothDenoise(Protocol):
    """A denoise model that also predicts with the negative prompt alone."""

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor: ...

    def both(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]: ...


class MaskedDenoiser:
    """A denoise model that keeps a given latent where the mask is 0.

    There, its predictions are replaced by the given latent, as in A1111 and ComfyUI. With `noise`, its input
    is replaced, too, by the given latent with noise of the current level, as in ComfyUI (`KSamplerX0Inpaint`
    in comfy/samplers.py) and RePaint (arXiv:2201.09865).

    Args:
        denoise: the model.
        latent: the latent to keep, [batch, channels, height, width].
        mask: [1 or batch, 1, height, width], 1 where the picture changes and 0 where it is kept.
        table: the noise levels of the model, which say how noise is added.
        noise: the noise that sampling begins with, of standard deviation 1.
    """

    def __init__(
        self, denoise: BothDenoise, latent: Tensor, mask: Tensor, table: Table, noise: Tensor | None = None
    ) -> None:
        self._denoise, self._latent, self._mask, self._noise = denoise, latent, mask, noise
        self._table = table

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Predict the clean latent in x, with the given latent where the mask is 0."""
        return self.kept(self._denoise(self._before(x, sigma), sigma))

    def both(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Predict the clean latent with guidance, and with the negative prompt alone."""
        guided, unguided = self._denoise.both(self._before(x, sigma), sigma)
        return self.kept(guided), self.kept(unguided)

    def kept(self, clean: Tensor) -> Tensor:
        """Replace a clean latent by the given latent where the mask is 0."""
        return clean * self._mask + self._latent * (1 - self._mask)

    def _before(self, x: Tensor, sigma: Tensor) -> Tensor:
        if self._noise is None:
            return x
        return x * self._mask + self._table.noised(self._latent, self._noise, sigma) * (1 - self._mask)
