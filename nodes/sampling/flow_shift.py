"""SetShift: changes the noise schedule of a flow-matching model, such as SD 3 or FLUX.1."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import Range
from nodes.sd.families.family import Flow
from nodes.values import Model


class SetShift(
    Node, category="model", passes={"out": "model"}, aliases=("ModelSamplingSD3", "ModelSamplingFlux")
):
    """Set the shift of a flow model (SD 3, FLUX.1): how much of the sampling is at high noise."""

    model: Model
    shift: Annotated[float, Range(0.01, 100, step=0.1)] = 3.0
    """Higher values use more of the steps for the composition and fewer for detail. SD 3 and 3.5 use 3 at
    1024 x 1024 pixels; larger pictures need more, smaller ones less. 1 spaces the noise levels evenly.
    FLUX.1 dev sets it by the size, from 1.65 at 256 x 256 to 3.16 at 1024 x 1024, unless this node sets it;
    FLUX.1 schnell uses 1."""

    def run(self, ctx: Context) -> Model:
        checkpoint = self.model.checkpoint
        if not isinstance(checkpoint.noise, Flow):
            raise NodeError(
                f"{checkpoint.name} is a diffusion model, which has no shift",
                hint="connect a model of SD 3 or FLUX.1, or leave this node out",
                input="model",
                code="not_a_flow",
            )
        noise = checkpoint.noise._replace(shift=self.shift, by_size=None)
        return replace(self.model, checkpoint=replace(checkpoint, noise=noise))
