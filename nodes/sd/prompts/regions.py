"""The part of the picture and the noise levels in which a prompt acts, as in ComfyUI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from engine.values import Json

if TYPE_CHECKING:
    from torch import Tensor


class Area(NamedTuple):
    """A rectangle, in latent cells, or in shares of the picture's sides."""

    height: float
    width: float
    top: float
    left: float
    relative: bool = False
    """True if the numbers are fractions of the sides, 0 to 1."""

    def cells(self, height: int, width: int) -> Cells:
        """Convert to cells of a latent with this height and width, and clip the rectangle to it."""
        if self.relative:
            tall, wide = max(1, round(self.height * height)), max(1, round(self.width * width))
            top, left = round(self.top * height), round(self.left * width)
        else:
            tall, wide, top, left = (int(side) for side in self[:4])
        top, left = min(top, height - 1), min(left, width - 1)
        return Cells(top, min(top + tall, height), left, min(left + wide, width))


class Cells(NamedTuple):
    """A rectangle of latent cells; `bottom` and `right` are the first row and column outside."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def size(self) -> int:
        """The number of cells."""
        return (self.bottom - self.top) * (self.right - self.left)

    def scaled(self, factor: int) -> Cells:
        """Return the same rectangle in units `factor` times smaller, such as pixels."""
        return Cells(*[side * factor for side in self])

    def contains(self, other: Cells) -> bool:
        """Return whether another rectangle lies inside this one."""
        tall = self.top <= other.top and other.bottom <= self.bottom
        return tall and self.left <= other.left and other.right <= self.right

    def of(self, x: Tensor) -> Tensor:
        """Return this part of a tensor [..., height, width]."""
        return x[..., self.top : self.bottom, self.left : self.right]


class Region(NamedTuple):
    """The region in which a prompt acts, and its strength relative to other prompts."""

    area: Area | None = None
    """The part of the picture that the model sees with this prompt; None for all of it."""
    mask: Tensor | None = None
    """float32 [masks, height, width] from 0 to 1, of any size: where the prompt acts."""
    strength: float = 1.0
    """The weight of this prompt where several act."""
    mask_strength: float = 1.0
    """A second weight, which is set together with the mask."""
    crops_to_mask: bool = False
    """True if the model sees only the rectangle around the mask."""

    def as_json(self) -> Json:
        """Convert the region to JSON, without the mask."""
        area: Json = None if self.area is None else list(self.area)
        return {
            "area": area,
            "strength": self.strength,
            "mask_strength": self.mask_strength,
            "crops_to_mask": self.crops_to_mask,
            "masked": self.mask is not None,
        }

    @classmethod
    def from_json(cls, plain: Any, name: str, tensors: Mapping[str, Tensor]) -> Self:
        """Restore a region from the JSON of `as_json`; its mask is the tensor with the given name."""
        area = None if plain["area"] is None else Area(*plain["area"])
        mask = tensors[name] if plain["masked"] else None
        return cls(area, mask, plain["strength"], plain["mask_strength"], plain["crops_to_mask"])

    @property
    def is_everywhere(self) -> bool:
        """Whether the prompt acts in the whole picture, with the usual strength."""
        strengths = (self.strength, self.mask_strength)
        return self.area is None and self.mask is None and strengths == (1, 1)


EVERYWHERE = Region()


class Span(NamedTuple):
    """The range of sampling in which a prompt acts, in fractions of the training steps."""

    start: float = 0.0
    """The beginning: 0 is pure noise."""
    end: float = 1.0
    """The end: 1 is the picture."""
