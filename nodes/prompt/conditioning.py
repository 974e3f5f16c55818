"""Nodes that combine and limit encoded prompts: areas, masks, ranges of steps, mixtures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import Range
from nodes.latent.latents import SCALE
from nodes.values import Conditioning, Mask

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from nodes.sd.prompts.timeline import PromptPart

Share = Annotated[float, Range(0, 1, step=0.01)]
Strength = Annotated[float, Range(0, 10, step=0.05)]


class CombinePrompts(Node, category="prompt", aliases=("ConditioningCombine", "CombineConditionings")):
    """Let two prompts act together: where both act, the model's answers to them are averaged.

    Limit one of them to an area, a mask or some steps first to have it act only there. Each prompt is one
    more call of the model in each step.
    """

    first: Conditioning
    second: Conditioning

    def run(self, ctx: Context) -> Conditioning:

        parts: list[PromptPart] = list(self.first.parts)
        shift = 1 + max(part.group for part in parts)
        parts += [part._replace(group=part.group + shift) for part in self.second.parts]
        return self.first.with_parts(parts)


class JoinPrompts(Node, category="prompt", aliases=("ConditioningConcat", "ConcatConditionings")):
    """Join two prompts into one: the model reads the second after the first, as if BREAK stood between."""

    first: Conditioning
    second: Conditioning
    """A single prompt, without AND and not combined."""

    def run(self, ctx: Context) -> Conditioning:
        import torch

        other = _single(self.second, "second")
        joined = [
            _together(part, other, lambda one, two: torch.cat([one, two], 1)) for part in self.first.parts
        ]
        return self.first.with_parts(joined)


class AveragePrompts(Node, category="prompt", aliases=("ConditioningAverage", "AverageConditionings")):
    """Mix two prompts into one that lies between them."""

    first: Conditioning
    second: Conditioning
    """A single prompt, without AND and not combined."""
    weight: Share = 0.5
    """How much of the first prompt is in the mixture: 1 is the first alone, 0 the second alone."""

    def run(self, ctx: Context) -> Conditioning:
        other = _single(self.second, "second")
        return self.first.with_parts(
            _together(part, other, self._mean, mixes_pooled=True) for part in self.first.parts
        )

    def _mean(self, one: Tensor, two: Tensor) -> Tensor:
        """Mix two encodings. `two` is padded with zeros or cut to the length of `one`, as in ComfyUI."""
        import torch

        if two.ndim == one.ndim > 2:  # rows of tokens
            rows = one.shape[1]
            two = torch.nn.functional.pad(two[:, :rows], (0, 0, 0, max(0, rows - two.shape[1])))
        return one * self.weight + two * (1 - self.weight)


class LimitToArea(
    Node,
    category="prompt",
    aliases=(
        "ConditioningSetArea",
        "ConditioningSetAreaPercentage",
        "ConditioningSetAreaStrength",
    ),
):
    """Let a prompt act only in a rectangle of the picture, which the model then sees by itself.

    The edges of the rectangle fade over 8 latent cells (64 pixels). Combine it with a prompt for the whole
    picture.
    """

    prompt: Conditioning
    width: Annotated[float, Range(0, 8192, step=8)] = 256
    """The width of the rectangle, in `unit`."""
    height: Annotated[float, Range(0, 8192, step=8)] = 256
    """The height of the rectangle, in `unit`."""
    x: Annotated[float, Range(0, 8192, step=8)] = 0
    """Where its left side lies, in `unit`."""
    y: Annotated[float, Range(0, 8192, step=8)] = 0
    """Where its upper side lies, in `unit`."""
    unit: Literal["pixels", "share"] = "pixels"
    """`pixels`, rounded down to multiples of 8; or `share`: 0 to 1 of the picture's sides."""
    strength: Strength = 1.0
    """How much this prompt counts where several act, 0 to 10."""

    def run(self, ctx: Context) -> Conditioning:
        from nodes.sd.prompts.regions import Area

        sides = (self.height, self.width, self.y, self.x)
        if self.unit == "share":
            if max(sides) > 1:
                raise NodeError(
                    f"with the unit `share`, {max(sides):g} is more than the whole picture (1)",
                    hint="use 0 to 1, or set `unit` to pixels",
                    input="unit",
                )
            area = Area(*sides, relative=True)
        else:
            height, width, y, x = (int(side) // SCALE for side in sides)
            area = Area(height, width, y, x)
        if not (self.width and self.height and (area.relative or (area.width and area.height))):
            raise NodeError(
                "the area is empty", hint=f"make it at least {SCALE} pixels wide and tall", input="width"
            )
        return self.prompt.with_parts(
            part._replace(region=part.region._replace(area=area, strength=self.strength))
            for part in self.prompt.parts
        )


class LimitToMask(Node, category="prompt", aliases=("ConditioningSetMask",)):
    """Let a prompt act only where a mask is on. The mask is scaled to the size of the picture."""

    prompt: Conditioning
    mask: Mask
    """Where the prompt acts: one mask, or one for each picture of the batch."""
    strength: Strength = 1.0
    """How much this prompt counts where several act, 0 to 10."""
    crop: bool = False
    """Whether the model sees only the rectangle around the mask with this prompt, or the whole picture."""

    def run(self, ctx: Context) -> Conditioning:
        import torch

        mask = torch.from_numpy(self.mask.levels.copy())
        return self.prompt.with_parts(
            part._replace(
                region=part.region._replace(mask=mask, mask_strength=self.strength, crops_to_mask=self.crop)
            )
            for part in self.prompt.parts
        )


class LimitToSteps(Node, category="prompt", aliases=("ConditioningSetTimestepRange",)):
    """Let a prompt act only in a part of the steps.

    Combine it with a prompt for the rest of the steps.
    """

    prompt: Conditioning
    start: Share = 0.0
    """Where the prompt begins to act: 0 is pure noise."""
    end: Share = 1.0
    """Where it stops: 1 is the picture. Both are shares of the model's training steps, as in ComfyUI; with
    the schedule `normal` they are shares of the steps."""

    def run(self, ctx: Context) -> Conditioning:
        from nodes.sd.prompts.regions import Span

        if self.start >= self.end:
            raise NodeError(
                f"the prompt would stop at {self.end:g}, before it begins at {self.start:g}", input="end"
            )
        span = Span(self.start, self.end)
        return self.prompt.with_parts(part._replace(span=span) for part in self.prompt.parts)


class ZeroPrompt(Node, category="prompt", aliases=("ConditioningZeroOut", "ZeroConditioning")):
    """Replace a prompt by zeros. Some models take them as an empty negative prompt, such as SDXL and SD 3."""

    prompt: Conditioning

    def run(self, ctx: Context) -> Conditioning:
        import torch

        def zeroed(part: PromptPart) -> PromptPart:
            return part._replace(
                encodings=tuple(map(torch.zeros_like, part.encodings)),
                pooled=tuple(map(torch.zeros_like, part.pooled)),
            )

        return self.prompt.with_parts(map(zeroed, self.prompt.parts))


def _single(prompt: Conditioning, input: str) -> PromptPart:
    """Return the only part of a prompt.

    Raises:
        NodeError: the prompt has several parts.
    """
    parts = prompt.parts
    if len(parts) > 1:
        raise NodeError(
            f"this prompt has {len(parts)} parts; only one can be used here",
            hint="take AND out of it, or swap the two prompts",
            input=input,
        )
    return parts[0]


def _together(
    part: PromptPart,
    other: PromptPart,
    merge: Callable[[Tensor, Tensor], Tensor],
    *,
    mixes_pooled: bool = False,
) -> PromptPart:
    """Merge the encodings of two parts into one part, which changes at each step where either of them does.

    The pooled vectors are those of the first part, as in ComfyUI, unless `mixes_pooled` is True.
    """
    if part.encodings[0].shape[-1] != other.encodings[0].shape[-1]:
        widths = f"{part.encodings[0].shape[-1]} and {other.encodings[0].shape[-1]}"
        raise NodeError(
            f"the prompts were encoded by different text encoders (embedding widths {widths})",
            hint="encode both with the text encoder of one model",
            input="second",
        )
    timeline, pairs = part.timeline.joined(other.timeline)
    merged = tuple(merge(part.encodings[one], other.encodings[two]) for one, two in pairs)
    pooled = part.pooled and tuple(part.pooled[one] for one, _ in pairs)
    if mixes_pooled and part.pooled and other.pooled:
        pooled = tuple(merge(part.pooled[one], other.pooled[two]) for one, two in pairs)
    return part._replace(encodings=merged, timeline=timeline, pooled=pooled)
