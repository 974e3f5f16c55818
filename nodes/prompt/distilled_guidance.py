"""SetDistilledGuidance: sets the guidance that FLUX.1 dev reads beside a prompt."""

from __future__ import annotations

from typing import Annotated

from engine.context import Context
from engine.node import Node
from engine.widgets import Range
from nodes.values import Conditioning


class SetDistilledGuidance(Node, category="prompt", passes={"out": "prompt"}, aliases=("FluxGuidance",)):
    """Set the guidance that FLUX.1 dev reads beside a prompt: how closely it follows the prompt.

    Such a model was trained to predict the result of guidance in a single call. The input `guidance` of
    Denoise stays at 1. Without this node, 3.5 is used. Models that read no such guidance ignore it.
    """

    prompt: Conditioning
    guidance: Annotated[float, Range(0, 100, step=0.1)] = 3.5
    """Higher values follow the prompt more closely; low ones give more natural pictures. 2 to 5 is usual."""

    def run(self, ctx: Context) -> Conditioning:
        return self.prompt.with_parts(part._replace(guidance=self.guidance) for part in self.prompt.parts)
