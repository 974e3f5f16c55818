"""The settings of one picture, as tools without node graphs store them in the picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from nodes.interchange.import_problems import ImportProblems

SMALLEST_SIDE, LARGEST_SIDE, SIDE_STEP = 64, 8192, 8
"""Limits of a picture's width and height, in pixels."""


@dataclass
class RequestedLora:
    """A LoRA as another tool names it: its name, weights and hash."""

    name: str
    weight: float
    encoder_weight: float | None = None
    ranks: int | None = None
    blocks: str = ""
    hash: str | None = None


@dataclass
class HiresPass:
    """A second pass over a picture at another size, as A1111's Hires fix makes it."""

    width: int
    height: int
    upscaler: str
    """A1111's name of the upscaler for the picture, or its latent, before the pass."""
    strength: float
    steps: int
    """The steps that run; the schedule has `steps / strength`."""
    guidance: float | None = None
    sampler: str | None = None
    schedule: str | None = None
    """None: as in the first pass."""

    @property
    def planned(self) -> int:
        """The steps of the whole schedule, of which the last `steps` run."""
        return max(self.steps, int(self.steps / min(self.strength, 0.999)))


Content = Literal["fill", "original", "noise", "nothing"]
"""What a masked part begins with, as in EncodeForInpainting; in the order of A1111's menu."""


@dataclass(frozen=True)
class InpaintMask:
    """The mask for the area that image to image changes, with A1111's settings for it."""

    picture: str
    """The name of the mask's file."""
    channel: Literal["luminance", "alpha"] = "luminance"
    """The channel of the file that is the mask."""
    inverted: bool = False
    """Whether the picture changes where the mask is off."""
    blur: int = 4
    """The standard deviation of the blur of its edges, in pixels."""
    rounded: bool = True
    """Whether each cell of the latent changes wholly or not at all."""
    content: Content = "fill"
    padding: int | None = None
    """Generate only the part of the picture around the mask, with this many pixels beyond it. None generates
    the whole picture."""


@dataclass
class PictureSettings:
    """The settings of a picture. None or empty means that the file does not contain a setting."""

    prompt: str = ""
    negative: str = ""
    dialect: str = "a1111"
    emphasis: str | None = None
    steps: int | None = None
    sampler: str | None = None
    schedule: str | None = None
    guidance: float | None = None
    distilled_guidance: float | None = None
    """The guidance that FLUX.1 dev reads beside the prompt."""
    rescale: float | None = None
    seed: int | None = None
    width: int | None = None
    height: int | None = None
    batch: int | None = None
    clip_skip: int | None = None
    model: str = ""
    model_hash: str | None = None
    loras: list[RequestedLora] = field(default_factory=list)
    hypernetworks: list[tuple[str, float]] = field(default_factory=list)
    embeddings: dict[str, str] = field(default_factory=dict)
    """Embeddings that the file names explicitly, with the first digits of their sha256."""
    strength: float | None = None
    """The denoising strength of image to image; None for text to image."""
    picture: str = ""
    """The name of the input picture."""
    fit: Literal["crop", "stretch", "fill", "latent"] | None = None
    """How the input picture is brought to the size; None for the default of ResizeImage. `latent`: by
    stretching its latent."""
    mask: InpaintMask | None = None
    hires: HiresPass | None = None
    denoise: dict[str, Any] = field(default_factory=dict)
    """Further inputs of Denoise, such as `noise` and `eta`."""


def picture_side(problems: ImportProblems, field: str, value: Any) -> int | None:
    """Read a width or height, rounded down to a multiple of 8 with a warning; None if it is not usable."""
    pixels = problems.whole(field, value, SMALLEST_SIDE, LARGEST_SIDE)
    if pixels is None or pixels % SIDE_STEP == 0:
        return pixels
    rounded = pixels // SIDE_STEP * SIDE_STEP
    problems.warn("rounded", f"{field}: {pixels} becomes {rounded}, a multiple of {SIDE_STEP}")
    return rounded
