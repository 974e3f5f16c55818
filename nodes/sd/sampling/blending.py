"""Blends the predictions for prompts that act in parts of a picture.

The rules are those of `calc_cond_batch` and `get_area_and_mult` in ComfyUI's comfy/samplers.py: at each pixel
the answers are averaged, each weighted by its mask and strength. The weight of a rectangle falls toward its
edges inside the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nodes.sd.prompts.regions import Area, Cells, Span
from nodes.sd.prompts.timeline import PromptPart

FADE = 8
"""Latent cells over which the edge of a rectangle fades; at most a quarter of its side."""
SMALLEST_CROP = 8
"""The smallest height and width of a crop to a mask, in latent cells."""


class Placed(NamedTuple):
    """A part of a prompt, placed in latents of a known size."""

    part: PromptPart
    cells: Cells
    """The rectangle that the model sees."""
    weights: Tensor
    """float32 [1 or batch, 1, height, width] in that rectangle: the weight of this part."""
    limited: bool
    """True if the rectangle was set explicitly, even if it is the whole picture."""


def placed(part: PromptPart, x: Tensor) -> Placed:
    """Place a part in latents [batch, channels, height, width].

    Raises:
        ValueError: the number of masks is neither 1 nor that of the pictures.
    """
    region = part.region
    height, width = x.shape[-2:]
    mask = None if region.mask is None else resized(region.mask, x)
    area = _around(mask) if mask is not None and region.crops_to_mask else region.area
    cells = Cells(0, height, 0, width) if area is None else area.cells(height, width)
    if mask is not None:
        weights = cells.of(mask) * region.mask_strength
    else:
        weights = torch.ones(1, 1, cells.bottom - cells.top, cells.right - cells.left, device=x.device)
        if area is not None:
            weights = _faded(weights, cells, height, width)
    return Placed(part, cells, weights * region.strength, area is not None)


def resized(mask: Tensor, x: Tensor) -> Tensor:
    """Resize masks [masks, height, width] to latents: [1 or batch, 1, height, width] on their device.

    Raises:
        ValueError: the number of masks is neither 1 nor that of the pictures.
    """
    if len(mask) not in (1, len(x)):
        raise ValueError(f"There are {len(mask)} masks for {len(x)} pictures; give one, or one for each.")
    whole = mask[:, None].to(x.device, torch.float32)
    if whole.shape[-2:] == x.shape[-2:]:
        return whole
    return torch.nn.functional.interpolate(whole, size=tuple(x.shape[-2:]), mode="bilinear")


def with_opposites(cond: Sequence[Placed], uncond: Sequence[Placed]) -> tuple[list[Placed], list[Placed]]:
    """Give each prompt a part for every rectangle of the other, so that guidance compares equal crops.

    As in ComfyUI's `create_cond_with_same_area_if_none`, an added part has the place, strength and range of
    its counterpart, and the words of the part of its own prompt with the smallest rectangle around it.
    """
    positive, negative = list(cond), list(uncond)
    _add_opposites(negative, positive)
    _add_opposites(positive, negative)
    return positive, negative


def _add_opposites(prompts: list[Placed], others: Iterable[Placed]) -> None:
    for other in others:
        around = [one for one in prompts if not one.limited or one.cells.contains(other.cells)]
        if not other.limited or not around:
            continue
        smallest = min(around, key=lambda one: one.cells.size if one.limited else float("inf"))
        if smallest.limited and smallest.cells == other.cells:
            continue
        group = 1 + max(one.part.group for one in prompts)
        part = smallest.part._replace(group=group, weight=1.0, region=other.part.region, span=other.part.span)
        prompts.append(other._replace(part=part))


def _around(mask: Tensor) -> Area:
    """Find the smallest rectangle around all pixels above 0 in any of the masks [masks, 1, height, width]."""
    rows, columns = (mask.amax(dim=(0, 1)) > 0).nonzero(as_tuple=True)
    if not len(rows):
        return Area(SMALLEST_CROP, SMALLEST_CROP, 0, 0)
    top, left = int(rows.min()), int(columns.min())
    tall, wide = int(rows.max()) - top + 1, int(columns.max()) - left + 1
    return Area(max(SMALLEST_CROP, tall), max(SMALLEST_CROP, wide), top, left)


def _faded(weights: Tensor, cells: Cells, height: int, width: int) -> Tensor:
    """Fade weights toward the sides of the rectangle that are inside the picture."""
    faded = weights.clone()
    for dim, begin, end, whole in (
        (-2, cells.top, cells.bottom, height),
        (-1, cells.left, cells.right, width),
    ):
        steps = min(FADE, (end - begin) // 4)
        for step in range(steps):
            share = (step + 1) / steps
            if begin > 0:
                faded.narrow(dim, step, 1).mul_(share)
            if end < whole:
                faded.narrow(dim, end - begin - 1 - step, 1).mul_(share)
    return faded


class Blend:
    """The weighted average of predictions for parts of latents."""

    def __init__(self, x: Tensor) -> None:
        self._sum = torch.zeros_like(x)
        self._weights = torch.zeros(len(x), 1, *x.shape[-2:], device=x.device, dtype=x.dtype)

    def add(self, place: Placed, answer: Tensor, *, counts: bool = True) -> None:
        """Add a prediction for a rectangle; if `counts` is False, its weight is not added to the total."""
        place.cells.of(self._sum).add_(answer * place.weights)
        if counts:
            place.cells.of(self._weights).add_(place.weights)

    @property
    def covered(self) -> Tensor:
        """True where any prediction has a weight: bool [batch, 1, height, width]."""
        return self._weights != 0

    def result(self) -> Tensor:
        """Compute the weighted average; it is 0 where no prediction has a weight."""
        return torch.where(self.covered, self._sum / torch.where(self.covered, self._weights, 1.0), 0.0)


def is_plain(parts: Iterable[PromptPart]) -> bool:
    """Return whether all parts belong to one prompt that acts in the whole picture and in all steps."""
    return all(part.group == 0 and part.span == Span() and part.region.is_everywhere for part in parts)
