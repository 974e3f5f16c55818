"""SEEDS (arXiv:2305.14267): exponential integrators of one step along the reverse diffusion."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.samplers.step import Denoise, Step


def seeds_2(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None,
    *,
    eta: float = 1.0,
    noise_scale: float = 1.0,
) -> Iterator[Step]:
    """SEEDS-2: two model calls a step, the second halfway (ComfyUI's "seeds_2")."""
    return _seeds(denoise, x, sigmas, noise, eta, noise_scale, (0.5,), midpoint=True)


def seeds_3(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None,
    *,
    eta: float = 1.0,
    noise_scale: float = 1.0,
) -> Iterator[Step]:
    """SEEDS-3: three model calls a step, after one and two thirds of the way (ComfyUI's "seeds_3")."""
    return _seeds(denoise, x, sigmas, noise, eta, noise_scale, (1 / 3, 2 / 3))


def exp_heun_2_x0(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None
) -> Iterator[Step]:
    """The exponential form of `heun`: two model calls a step, the second at its end (ComfyUI)."""
    return _seeds(denoise, x, sigmas, None, 0.0, 1.0, (1.0,))


def exp_heun_2_x0_sde(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None,
    *,
    eta: float = 1.0,
    noise_scale: float = 1.0,
) -> Iterator[Step]:
    """`exp_heun_2_x0` along the reverse diffusion (ComfyUI)."""
    return _seeds(denoise, x, sigmas, noise, eta, noise_scale, (1.0,))


def _seeds(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None,
    eta: float,
    noise_scale: float,
    shares: tuple[float, ...],
    *,
    midpoint: bool = False,
) -> Iterator[Step]:
    """Steps with the model asked again after some shares of the way in log sigma.

    Args:
        shares: where the model is asked again.
        midpoint: whether the last answer alone counts for the whole step.
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, sigma)
        if target == 0:
            yield Step(i, x0, x0)
            continue
        path = _Path(noise if eta > 0 else None, x, sigma, target, eta, noise_scale)
        answer, share_before = x0, 0.0
        for share in shares:
            # A stage between the first and the last uses the answer before it to second order.
            weight = 0.0 if share_before == 0 else path.bend(share) * share / share_before
            place = path.at(share, x0, answer, weight)
            answer, share_before = denoise(place, path.level(share)), share
        weight = path.whole if midpoint else path.bend(1.0) / shares[-1]
        x = path.at(1.0, x0, answer, weight)
        yield Step(i, x, x0)


class _Path:
    """One step: the levels on the way, and the noise up to each of them."""

    def __init__(
        self,
        noise: NoiseSource | None,
        x: Tensor,
        sigma: Tensor,
        target: Tensor,
        eta: float,
        noise_scale: float,
    ) -> None:
        self._noise, self._x, self._sigma, self._target = noise, x, sigma, target
        self._eta = eta
        self._noise_scale = noise_scale
        self._h = sigma.double().log() - target.double().log()
        self._dtype = sigma.dtype
        self._drawn: Tensor | float = 0.0
        self._drawn_to = 0.0

    @property
    def whole(self) -> Tensor:
        """The weight with which one answer counts for the whole step."""
        return -torch.expm1(-self._reach(1.0))

    def level(self, share: float) -> Tensor:
        """The level after a share of the way."""
        if share == 1:
            return self._target
        return (self._sigma.double() * torch.exp(-share * self._h)).to(self._dtype)

    def bend(self, share: float) -> Tensor:
        """The integral that weights a change of the answer, up to a share of the way."""
        reach = self._reach(share)
        return 1 + torch.expm1(-reach) / reach

    def at(self, share: float, first: Tensor, later: Tensor, weight: Tensor | float) -> Tensor:
        """x after a share of the way, from the first answer and a later one with its weight."""
        reach = self._reach(share)
        decay = torch.exp(-share * self._h * (1 + self._eta))
        x = decay * self._x - torch.expm1(-reach) * first + weight * (later - first)
        if self._noise is not None:
            x = x + self._noise_up_to(share) * (self.level(share) * self._noise_scale)
        return x

    def _reach(self, share: float) -> Tensor:
        return share * self._h * (1 + self._eta)

    def _noise_up_to(self, share: float) -> Tensor:
        """The noise of the path so far: that of the parts before, faded, and that of the new part."""
        part = (share - self._drawn_to) * self._h * self._eta
        assert self._noise is not None
        if part > 0:
            fresh = self._noise.like(self._x) * torch.sqrt(-torch.expm1(-2 * part))
            self._drawn = self._drawn * torch.exp(-part) + fresh
            self._drawn_to = share
        assert isinstance(self._drawn, Tensor)
        return self._drawn
