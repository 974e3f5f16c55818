"""Nodes for ControlNets, which make a generated picture follow another picture, such as edges or a pose."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from engine.context import Context
from engine.errors import NodeError
from engine.files import Files
from engine.node import Node
from engine.values import Json
from engine.widgets import Advanced, FileIn, Range
from nodes.files.controlnet_files import CONTROLNETS, ControlNet, described
from nodes.values import Conditioning, Image

if TYPE_CHECKING:
    from nodes.sd.prompts.control import Control

Strength = Annotated[float, Range(0, 10, step=0.05)]
Share = Annotated[float, Range(0, 1, step=0.01), Advanced]


class LoadControlNet(Node, category="model", aliases=("ControlNetLoader",)):
    """Load a ControlNet, which makes pictures follow another picture."""

    controlnet: Annotated[str, FileIn(CONTROLNETS)]
    """The ControlNet: the name of a file in `models/controlnet` (`.safetensors`, or `.pth`, whose code is not
    executed), or of a folder in diffusers' layout (`config.json` and `diffusion_pytorch_model.safetensors`),
    or a path. ControlNets for SD 1, SD 2 and SDXL load; union ControlNets, ControlNet LoRAs and T2I-Adapters
    do not."""

    def fingerprint(self, files: Files) -> Json:
        """Return the digest of the weights and the config, so that a changed file gives a new result.

        Raises:
            NodeError: there is no such file or folder, or it is not a ControlNet.
        """
        found = _described(files, self.controlnet)
        return [found.digest, found.config]

    def run(self, ctx: Context) -> ControlNet:
        return _described(ctx.files, self.controlnet)


class Controlled(NamedTuple):
    """The positive and the negative prompt with a ControlNet added."""

    positive: Conditioning
    negative: Conditioning


class ApplyControlNet(Node, category="prompt", libraries=("torch",), aliases=("ControlNetApplyAdvanced",)):
    """Let a ControlNet act: the generated picture follows a picture, such as edges, depths or a pose.

    Several can follow each other; their effects add up.
    """

    positive: Conditioning
    negative: Conditioning
    controlnet: ControlNet
    image: Image
    """What to follow, prepared as the ControlNet expects it: white edges on black for canny, for example. It
    is scaled to the size of the picture."""
    strength: Strength = 1.0
    """How strongly the picture is followed, 0 to 10; 0.5 to 1 is usual."""
    start: Share = 0.0
    """Where the ControlNet begins to act: 0 is pure noise."""
    end: Share = 1.0
    """Where it stops: 1 is the picture. Less than 1 leaves details free. Both are shares of the model's
    training steps, as in ComfyUI."""
    mode: Literal["balanced", "prompt", "control"] = "balanced"
    """Which counts more, as A1111's control mode. `balanced`: both. `prompt`: the ControlNet acts less on
    details. `control`: it also acts less on details, and not on the negative prompt, so that guidance
    amplifies it."""
    blocks: Annotated[str, Advanced] = ""
    """A factor of the strength for each block, from the finest details to the composition, separated by
    commas: 13 numbers for SD 1 and SD 2, 10 for SDXL. The last is the middle. Empty uses 1 for all."""

    def run(self, ctx: Context) -> Controlled:
        from nodes.sd.prompts.regions import Span

        if self.start >= self.end:
            raise NodeError(
                f"the ControlNet would stop at {self.end:g}, before it begins at {self.start:g}", input="end"
            )
        control = _control(self.controlnet, self.image, self.strength)._replace(
            span=Span(self.start, self.end), blocks=self._block_strengths()
        )
        negative = self.negative if self.mode == "control" else _with_control(self.negative, control)
        return Controlled(_with_control(self.positive, control), negative)

    def _block_strengths(self) -> tuple[float, ...]:
        from nodes.sd.controlnets.network import block_count
        from nodes.sd.controlnets.strengths import block_strengths

        count = block_count(json.loads(self.controlnet.config))
        try:
            return block_strengths(self.blocks, count, softened=self.mode != "balanced")
        except ValueError as error:
            hint = f"enter {count} numbers, or leave this input empty"
            raise NodeError(str(error), hint=hint, input="blocks") from None


class ApplyControlNetToPrompt(Node, category="prompt", libraries=("torch",), aliases=("ControlNetApply",)):
    """Let a ControlNet act on one prompt, and on the negative prompt that Denoise gets with it.

    A negative prompt with a ControlNet of its own keeps that one. Use ApplyControlNet in new graphs: it has
    more settings.
    """

    prompt: Conditioning
    controlnet: ControlNet
    image: Image
    """What to follow, prepared as the ControlNet expects it. It is scaled to the size of the picture."""
    strength: Strength = 1.0
    """How strongly the picture is followed, 0 to 10; 0.5 to 1 is usual."""

    def run(self, ctx: Context) -> Conditioning:
        control = _control(self.controlnet, self.image, self.strength)
        return _with_control(self.prompt, control._replace(acts_on_negative=True))


def _control(network: ControlNet, image: Image, strength: float) -> Control:
    """Combine a ControlNet with the picture that it follows; it acts in all steps."""
    import torch

    from nodes.sd.prompts.control import Control

    hint = torch.from_numpy(image.pixels.copy()).permute(0, 3, 1, 2).float() / 255
    return Control(network.digest, network.config, network.name, hint, strength)


def _with_control(prompt: Conditioning, control: Control) -> Conditioning:
    return prompt.with_parts(part._replace(controls=(*part.controls, control)) for part in prompt.parts)


def _described(files: Files, name: str) -> ControlNet:
    try:
        return described(files, name)
    except NodeError as error:
        raise error.at("controlnet") from None
