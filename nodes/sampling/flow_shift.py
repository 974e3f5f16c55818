"""SetShift: changes the noise schedule of a flow-matching model, such as SD 3."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import Range
from nodes.sd.families.family import Flow
from nodes.values import Model


class SetShift(Node, category="model", passes={"out": "model"}, aliases=("ModelSamplingSD3",)):
    """Set the shift of a model that learned a flow (SD 3): how much of the sampling is at high noise."""

    model: Model
    shift: Annotated[float, Range(0.01, 100, step=0.1)] = 3.0
    """Higher values use more of the steps for the composition and fewer for detail. SD 3 and 3.5 use 3 at
    1024 x 1024 pixels; larger pictures need more, smaller ones less. 1 spaces the noise levels evenly."""

    def run(self, ctx: Context) -> Model:
        checkpoint = self.model.checkpoint
        if not isinstance(checkpoint.noise, Flow):
            raise NodeError(
                f"{checkpoint.name} is a diffusion model, which has no shift",
                hint="connect a model of SD 3, or leave this node out",
                input="model",
                code="not_a_flow",
            )
        return replace(
            self.model, checkpoint=replace(checkpoint, noise=checkpoint.noise._replace(shift=self.shift))
        )
