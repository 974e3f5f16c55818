"""EmptyLatent: the canvas that a picture is made on."""

from __future__ import annotations

from typing import Annotated

from annotated_types import MultipleOf

from engine.context import Context
from engine.node import Node
from engine.widgets import Range
from nodes.values import Latent

CHANNELS, SCALE = 4, 8
"""Of every latent of the Stable Diffusion 1 and 2 and XL families."""


class EmptyLatent(Node, category="latent"):
    """Begin with an empty canvas of some size."""

    width: Annotated[int, Range(64, 8192, step=8), MultipleOf(SCALE)] = 512
    """Pixels across; a multiple of 8. Models draw best at the size they were trained on."""
    height: Annotated[int, Range(64, 8192, step=8), MultipleOf(SCALE)] = 512
    """Pixels down; a multiple of 8."""
    batch: Annotated[int, Range(1, 64)] = 1
    """How many pictures to make at once; picture i uses the seed plus i."""

    def run(self, ctx: Context) -> Latent:
        import torch

        return Latent(torch.zeros(self.batch, CHANNELS, self.height // SCALE, self.width // SCALE))
