"""Resizes latents as A1111 and ComfyUI do."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Method = Literal["nearest", "bilinear", "bicubic", "area", "bislerp"]

_MODES = {"nearest": "nearest-exact", "bilinear": "bilinear", "bicubic": "bicubic", "area": "area"}
_SAME = 1e-5
"""Vectors whose cosine is this close to 1 or -1 are not interpolated on the sphere."""


def resize(samples: Tensor, width: int, height: int, method: Method, *, antialias: bool = False) -> Tensor:
    """Resize latents [pictures, channels, *, *] to a size in latent cells.

    Args:
        samples: the latents.
        width: the new width.
        height: the new height.
        method: `bislerp` interpolates directions and lengths separately (ComfyUI); the others are torch's
            modes.
        antialias: for `bilinear` and `bicubic`, which A1111 offers with and without.
    """
    if method == "bislerp":
        across = _slerped(samples.float(), width)
        return _slerped(across.transpose(2, 3), height).transpose(2, 3).to(samples)
    smooth = antialias and method in ("bilinear", "bicubic")
    return torch.nn.functional.interpolate(
        samples, size=(height, width), mode=_MODES[method], antialias=smooth
    )


def centred(samples: Tensor, width: int, height: int) -> Tensor:
    """Crop the centre of latents to the proportions of a size, as ComfyUI's crop `center`."""
    tall, wide = samples.shape[-2:]
    if wide / tall > width / height:
        cut = round((wide - wide * ((width / height) / (wide / tall))) / 2)
        return samples[..., cut : wide - cut]
    cut = round((tall - tall * ((wide / tall) / (width / height))) / 2)
    return samples[..., cut : tall - cut, :]


def _slerped(samples: Tensor, length: int) -> Tensor:
    """Resize the last side of latents by spherical interpolation between neighbours."""
    old = samples.shape[-1]
    places = torch.arange(old, dtype=torch.float32, device=samples.device)
    before = _interpolated(places, length)
    after = _interpolated((places + 1).clamp(max=old - 1), length)
    one, other = samples[..., before.long()], samples[..., after.long()]
    share = before - before.floor()
    norm, other_norm = one.norm(dim=1, keepdim=True), other.norm(dim=1, keepdim=True)
    direction = torch.where(norm == 0, 0.0, one / norm)
    other_direction = torch.where(other_norm == 0, 0.0, other / other_norm)
    cosine = (direction * other_direction).sum(1, keepdim=True)
    angle = torch.acos(cosine.clamp(-1, 1))
    turned = torch.sin((1 - share) * angle) * direction + torch.sin(share * angle) * other_direction
    result = turned / torch.sin(angle) * (norm * (1 - share) + other_norm * share)
    result = torch.where(cosine > 1 - _SAME, one, result)
    return torch.where(cosine < _SAME - 1, one * (1 - share) + other * share, result)


def _interpolated(places: Tensor, length: int) -> Tensor:
    row = torch.nn.functional.interpolate(places[None, None, None], size=(1, length), mode="bilinear")
    return row[0, 0, 0]
