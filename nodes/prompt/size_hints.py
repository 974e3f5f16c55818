"""SetSizeHints: sets the picture size and the crop that SDXL reads beside a prompt."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from engine.context import Context
from engine.node import Node
from engine.widgets import Range
from nodes.sd.families.family import SizeHints
from nodes.values import Conditioning

Pixels = Annotated[int, Range(0, 16384, step=8)]
Score = Annotated[float, Range(0, 10, step=0.1)]


class SetSizeHints(Node, category="prompt", passes={"out": "prompt"}, aliases=("CLIPTextEncodeSDXL",)):
    """Tell SDXL the size and the crop of the pictures that a prompt describes; other models ignore it.

    SDXL was trained with these numbers beside each picture. Without this node, Denoise gives it the size of
    the generated picture, uncropped.
    """

    prompt: Conditioning
    original_width: Pixels = 0
    """The width of the picture before it was cropped or scaled, in pixels. Smaller values than 1024 give the
    look of enlarged pictures, larger ones more detail. 0, or a height of 0: the size that is generated."""
    original_height: Pixels = 0
    """The height of the picture before it was cropped or scaled, in pixels."""
    crop_left: Pixels = 0
    """How much was cut off at the left, in pixels. Above 0 the subject moves out of the picture."""
    crop_top: Pixels = 0
    """How much was cut off at the top, in pixels."""
    target_width: Pixels = 0
    """The width of the cropped picture, in pixels. 0, or a height of 0: the size that is generated."""
    target_height: Pixels = 0
    """The height of the cropped picture, in pixels."""
    aesthetic_score: Score | None = None
    """How beautiful the picture is, for the refiner only. Empty: 6 for the prompt and 2.5 for the negative
    prompt, which are usual."""

    def run(self, ctx: Context) -> Conditioning:
        original = self.original_width, self.original_height
        target = self.target_width, self.target_height
        hints = SizeHints(
            original if all(original) else None,
            (self.crop_left, self.crop_top),
            target if all(target) else None,
            self.aesthetic_score,
        )
        parts = tuple(part._replace(size=hints) for part in self.prompt.changing)
        return dataclasses.replace(self.prompt, changing=parts, size=hints)
