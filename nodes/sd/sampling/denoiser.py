"""The denoiser that samplers call: takes a latent and its noise level, and returns the clean latent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from nodes.sd.families.family import DenoisingNetwork, SizeNumbers
from nodes.sd.families.unet import UNET
from nodes.sd.models import placement
from nodes.sd.prompts.control import Control
from nodes.sd.prompts.regions import Cells
from nodes.sd.prompts.timeline import PromptPart
from nodes.sd.sampling.blending import Blend, Placed, is_plain, placed, with_opposites
from nodes.sd.sampling.names import Prediction
from nodes.sd.sampling.prompt_inputs import PromptInputs, Reading, on_device
from nodes.sd.sampling.schedule import Schedule
from nodes.sd.sampling.transfer import sent

if TYPE_CHECKING:
    from diffusers.models.controlnets.controlnet import ControlNetModel


class Denoiser:
    """Predicts the clean latent with a UNet or a transformer, with classifier-free guidance.

    It is D(x, sigma) of arXiv:2206.00364, guided as in arXiv:2207.12598.

    The order of operations is that of diffusers' StableDiffusionPipeline, so that equal settings give equal
    bits in float32. In half precision only the network runs in half; x and the guidance keep the precision of
    x.

    Prompts may change from step to step, and the positive prompt may have several parts, each of which pulls
    away from the negative prompt with its own weight (A1111's AND). Prompts of unequal lengths are run
    separately, with the same result as ComfyUI, which repeats them; shorter parts of one prompt repeat their
    last row, as in A1111. Several prompts that act in parts of the picture, or in some of the steps, are
    blended by ComfyUI's rule (`blending.py`). Where no part of one prompt acts, the prediction is that of the
    other prompt alone; ComfyUI uses a prediction of 0 there.

    Args:
        unet: the model (a UNet or a transformer), on the device of x.
        schedule: gives the training step of each sigma, and the number of the step.
        prediction: what the model was trained to predict.
        cond: embeddings of the prompt, [1 or batch, tokens, width], or its parts.
        uncond: those of the negative prompt, without AND; may be None at guidance 1 and weight 1.
        guidance: how far to move away from `uncond`. 1 uses `cond` alone, at half the work.
        guided: the first and last share of the steps, 0 to 1, where guidance acts (arXiv:2404.07724). It is 1
            in all other steps, as with diffusers' `ClassifierFreeGuidance(start, stop)`.
        rescale: how much of the contrast that guidance adds is removed again, 0 to 1 (arXiv:2305.08891,
            section 3.4); 0.7 suits models trained to zero signal, 0 all others.
        separate: True to make `both` available, which needs the prediction for the negative prompt.
        size_numbers: the numbers that the model reads beside the prompt's pooled vector; None if it reads
            none.
        scale: pixels per latent cell, for these numbers.
        network: how the model is called.
        controlnets: the ControlNets of the prompts' parts, by the digest of their weights.
        context: the further input channels of an inpainting model, [1 or batch, 5, height, width]: the mask,
            and the encoded picture without its masked part; None for other models.

    Raises:
        ValueError: `uncond` is needed and missing, or has several parts, or widths or channels do not match
            the model, or a pooled vector is missing, or there are ControlNets for a model without a UNet.
    """

    def __init__(
        self,
        unet: Any,
        schedule: Schedule,
        prediction: Prediction,
        cond: Tensor | Sequence[PromptPart],
        *,
        uncond: Tensor | Sequence[PromptPart] | None = None,
        guidance: float = 1.0,
        guided: tuple[float, float] = (0.0, 1.0),
        rescale: float = 0.0,
        separate: bool = False,
        size_numbers: SizeNumbers | None = None,
        scale: int = 8,
        network: DenoisingNetwork = UNET,
        controlnets: Mapping[str, ControlNetModel] | None = None,
        context: Tensor | None = None,
    ) -> None:
        like = placement.like(unet)  # diffusers' own `device` and `dtype` walk the whole model, each time
        width = getattr(unet.config, network.context)
        pools = network.reads_pooled or size_numbers is not None
        pooled = getattr(unet.config, network.vectors) if network.reads_pooled else None
        self._cond = on_device(cond, "prompt", like, width, pools, pooled)
        self._uncond = (
            [] if uncond is None else on_device(uncond, "negative prompt", like, width, pools, pooled)
        )
        if len({part.group for part in self._uncond}) < len(self._uncond):
            raise ValueError(
                "A negative prompt cannot have several parts joined by AND. Encode it with `negative` on."
            )
        needed = self._needs_uncond(guidance) or (guided != (0, 1) and self._needs_uncond(1.0))
        if uncond is None and (separate or needed):
            raise ValueError(
                f"Guidance {guidance} needs the embeddings of a negative prompt, which may be empty."
            )
        self._uncond = _with_controls_of(self._cond, self._uncond)
        self._cond, self._uncond = _sharing_controls(self._cond, self._uncond)
        self._plain = is_plain([*self._cond, *self._uncond])
        self._places: tuple[torch.Size, list[Placed], list[Placed]] | None = None
        self._checked: set[tuple[int, ...]] = set()
        self._unet = unet
        self._schedule = schedule
        self._prediction = prediction
        self._dtype = like.dtype
        self._guidance = guidance
        self._guided = guided
        self._rescale = rescale
        self._pools = pools
        self._inputs = PromptInputs(size_numbers, scale, network.distilled_guidance)
        self._scale = scale
        self._separate = separate
        self._network = network
        self._controlnets = controlnets or {}
        if self._controlnets and not network.is_unet:
            raise ValueError("ControlNets are for the UNets of SD 1 and SD 2; this model cannot use them.")
        self._hints: dict[int, Tensor] = {}
        self._context = None if context is None else context.to(like)
        reads, self._channels = network.channels(unet.config.in_channels, unet.config.out_channels)
        extra = 0 if context is None else context.shape[1]
        if reads != self._channels + extra:
            raise ValueError(_wrong_channels(reads, self._channels, context is not None))

    def _needs_uncond(self, guidance: float) -> bool:
        """Return whether the negative prompt affects the result at this guidance."""
        groups = [part.group for part in self._cond]
        return any(guidance * part.weight != 1 or groups.count(part.group) > 1 for part in self._cond)

    @torch.no_grad()
    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Predict the clean latent in x.

        Args:
            x: the latents with noise, [batch, channels, height, width].
            sigma: the noise level of x, a scalar on the CPU.
        """
        return self._clean(x, sigma, self._predict(x, sigma).guided)

    @torch.no_grad()
    def both(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Predict the clean latent in x with guidance, and with the negative prompt alone.

        Raises:
            ValueError: there is no negative prompt, or `separate` was not set.
        """
        predicted = self._predict(x, sigma)
        if predicted.unguided is None:
            raise ValueError("The prediction for the negative prompt alone needs `separate=True`.")
        return self._clean(x, sigma, predicted.guided), self._clean(x, sigma, predicted.unguided)

    def _clean(self, x: Tensor, sigma: Tensor, predicted: Tensor) -> Tensor:
        """Convert a prediction to the clean latent."""
        if self._prediction in ("epsilon", "flow"):
            return x - sigma * predicted
        if self._prediction == "v_prediction":
            return predicted * (-sigma / (sigma**2 + 1) ** 0.5) + (x / (sigma**2 + 1))
        return predicted

    def _step(self, sigma: Tensor) -> int:
        """Return the step of a noise level, counted from 0: the last one that begins at it or above."""
        begun = int((self._schedule.sigmas >= sigma).sum())
        return min(max(begun - 1, 0), self._schedule.steps - 1)

    def _guidance_at(self, step: int) -> float:
        """Return the guidance in a step, counted from 0."""
        begin, end = (int(share * self._schedule.steps) for share in self._guided)
        return self._guidance if begin <= step < end else 1.0

    def _predict(self, x: Tensor, sigma: Tensor) -> _Predicted:
        """Predict for x with guidance and, if there is a negative prompt, without."""
        if x.shape[1] != self._channels:
            raise ValueError(f"The model reads latents of {self._channels} channels, not {x.shape[1]}.")
        scaled = x if self._prediction == "flow" else x / ((sigma**2 + 1) ** 0.5)
        timestep, step = self._schedule.timestep(sigma), self._step(sigma)
        guidance = self._guidance_at(step)
        asks_uncond = self._separate or self._needs_uncond(guidance)
        if not self._plain:
            return self._blended(scaled, timestep, float(sigma), step, guidance, asks_uncond)
        cond = self._readings(self._cond, step)
        whole = [Cells(0, x.shape[-2], 0, x.shape[-1])] * (len(cond) + 1)
        if not asks_uncond:
            return _Predicted(self._ask(scaled, timestep, cond, whole[1:], float(sigma))[0], None)
        uncond = self._readings(self._uncond, step, negative=True)
        without, *with_prompt = self._ask(scaled, timestep, [*uncond, *cond], whole, float(sigma))
        guided = without
        for part, predicted in zip(self._cond, with_prompt, strict=True):
            guided = guided + guidance * part.weight * (predicted - without)
        return _Predicted(self._rescaled(guided, torch.stack(with_prompt).mean(0)), without)

    def _blended(
        self,
        scaled: Tensor,
        timestep: Tensor,
        sigma: float,
        step: int,
        guidance: float,
        asks_uncond: bool,
    ) -> _Predicted:
        """Predict with several prompts, each in its part of the picture and of the steps."""
        positive, negative = self._acting(scaled, sigma)
        if not asks_uncond:
            negative = []
        places = [*negative, *positive]
        read = self._readings([place.part for place in negative], step, negative=True)
        read += self._readings([place.part for place in positive], step)
        answers = self._ask(scaled, timestep, read, [place.cells for place in places], sigma)
        without, with_prompt = Blend(scaled), Blend(scaled)
        for place, answer in zip(negative, answers, strict=False):
            without.add(place, answer)
        groups: set[int] = set()
        answered = list(zip(positive, answers[len(negative) :], strict=True))
        for place, answer in answered:
            with_prompt.add(place, answer)
        acting = tuple(map(id, places))
        if acting not in self._checked:  # once for each set of prompts: reading a value makes a GPU wait
            self._checked.add(acting)
            if not bool((without.covered | with_prompt.covered).all()):
                raise ValueError(
                    f"There is no prompt for a part of the picture at noise level {sigma:.3g}. "
                    "Combine the prompts with one that acts everywhere and in all steps."
                )
        base = torch.where(without.covered, without.result(), with_prompt.result())
        pull = Blend(scaled)
        for place, answer in answered:
            change = place.part.weight * (answer - place.cells.of(base))
            pull.add(place, change, counts=place.part.group not in groups)
            groups.add(place.part.group)
        if not asks_uncond:
            return _Predicted(base, None)
        guided = base + guidance * pull.result()
        asked = torch.where(with_prompt.covered, with_prompt.result(), base)
        return _Predicted(self._rescaled(guided, asked), base)

    def _acting(self, x: Tensor, sigma: float) -> tuple[list[Placed], list[Placed]]:
        """Return the parts of both prompts that act at a noise level, with their places in x."""
        if self._places is None or self._places[0] != x.shape:
            pairs = ([placed(part, x) for part in parts] for parts in (self._cond, self._uncond))
            self._places = (x.shape, *with_opposites(*pairs))
        table = self._schedule.table
        acting = [
            [
                place
                for place in places
                if table.level_after(place.part.span.end) <= sigma <= table.level_after(place.part.span.start)
            ]
            for places in self._places[1:]
        ]
        return acting[0], acting[1]

    def _rescaled(self, guided: Tensor, with_prompt: Tensor) -> Tensor:
        """Rescale a guided prediction toward the contrast of the unguided one."""
        if self._rescale == 0:
            return guided
        tamed = guided * (_deviation(with_prompt) / _deviation(guided))
        return self._rescale * tamed + (1 - self._rescale) * guided

    def _readings(self, parts: Sequence[PromptPart], step: int, *, negative: bool = False) -> list[Reading]:
        """Return the encodings of parts at a step; those of one prompt are brought to equal lengths."""
        total = self._schedule.steps
        rows = [part.at(step, total) for part in parts]
        longest: dict[int, int] = {}
        for part, one in zip(parts, rows, strict=True):
            longest[part.group] = max(longest.get(part.group, 0), one.shape[1])
        return [
            Reading(
                one,
                part.pooled_at(step, total) if self._pools else None,
                longest[part.group],
                part.size,
                negative,
                part.controls,
                part.guidance,
            )
            for part, one in zip(parts, rows, strict=True)
        ]

    def _ask(
        self,
        scaled: Tensor,
        timestep: Tensor,
        prompts: Sequence[Reading],
        places: Sequence[Cells],
        sigma: float,
    ) -> list[Tensor]:
        """Call the network for each prompt in its place; prompts of equal sizes share one call."""
        calls: dict[tuple[object, ...], list[int]] = {}
        for number, (read, cells) in enumerate(zip(prompts, places, strict=True)):
            sizes = (read.tokens, cells.bottom - cells.top, cells.right - cells.left)
            controls = tuple(map(id, read.controls))
            same_place = cells if controls else None  # the picture to follow is cut to the place
            calls.setdefault((sizes, controls, same_place), []).append(number)
        answers: dict[int, Tensor] = {}
        for numbers in calls.values():
            inputs = [self._input(scaled, places[number]) for number in numbers]
            text = self._inputs.of([prompts[number] for number in numbers], scaled)
            seen = torch.cat(inputs) if len(inputs) > 1 else inputs[0]
            # `timestep.to(device)` would wait until the device has done all its work.
            times = torch.full((len(seen),), float(timestep), dtype=timestep.dtype, device=seen.device)
            more = {"encoder_hidden_states": text.rows, **self._network.arguments(text.vectors)}
            first = numbers[0]
            residuals = self._residuals(
                seen, times, more, prompts[first].controls, scaled, places[first], sigma
            )
            answer = self._network.call(self._unet, seen, times, **more, **residuals)
            answers.update(zip(numbers, answer.to(scaled.dtype).chunk(len(numbers)), strict=True))
        return [answers[number] for number in range(len(prompts))]

    def _residuals(
        self,
        seen: Tensor,
        timestep: Tensor,
        more: Mapping[str, Any],
        controls: Sequence[Control],
        scaled: Tensor,
        cells: Cells,
        sigma: float,
    ) -> dict[str, Any]:
        """Compute the residuals that the active ControlNets add inside the UNet, by diffusers' names."""
        table = self._schedule.table
        down: list[Tensor] = []
        middle: Tensor | None = None
        for control in controls:
            if not table.level_after(control.span.end) <= sigma <= table.level_after(control.span.start):
                continue
            network = self._controlnets[control.digest]
            hint = cells.scaled(self._scale).of(self._hint(control, scaled))
            blocks, last = network(
                seen[:, : self._channels],
                timestep,
                controlnet_cond=hint.repeat(len(seen) // len(scaled), 1, 1, 1),
                conditioning_scale=control.strength,
                return_dict=False,
                **more,
            )
            if control.blocks:
                scaled_blocks = zip((*blocks, last), control.blocks, strict=True)
                *blocks, last = (block * strength for block, strength in scaled_blocks)
            down = [one + other for one, other in zip(down, blocks, strict=True)] if down else list(blocks)
            middle = last if middle is None else middle + last
        if middle is None:
            return {}
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}

    def _hint(self, control: Control, scaled: Tensor) -> Tensor:
        """Return a ControlNet's hint for each picture of the batch, resized to the pixels of the latents."""
        if id(control) not in self._hints:
            size = tuple(side * self._scale for side in scaled.shape[-2:])
            hint = control.hint
            if hint.shape[-2:] != size:
                hint = torch.nn.functional.interpolate(hint, size=size, mode="bilinear", antialias=True)
            if len(hint) not in (1, len(scaled)):
                raise ValueError(
                    f"There are {len(hint)} pictures to follow for {len(scaled)} to draw; give one, or one"
                    " for each."
                )
            hint = sent(hint, scaled.device, self._dtype)
            self._hints[id(control)] = hint.expand(len(scaled), -1, -1, -1)
        return self._hints[id(control)]

    def _input(self, scaled: Tensor, cells: Cells) -> Tensor:
        """Return the latents in a rectangle as input of the network, with an inpainting model's context."""
        seen = cells.of(scaled).to(self._dtype)
        if self._context is None:
            return seen
        return torch.cat([seen, cells.of(self._context).expand(len(scaled), -1, -1, -1)], 1)


def _wrong_channels(channels: int, latent: int, has_context: bool) -> str:
    """Write the message about a model with the wrong number of input channels."""
    if has_context:
        return (
            f"This is not an inpainting model: it reads {channels} channels. Use EncodeForInpainting"
            " without `for_inpainting_model`, or choose a model made for inpainting."
        )
    if channels == 2 * latent + 1:
        return (
            "This is an inpainting model: it also reads the mask and the picture around it. Give it the"
            " latent of an EncodeForInpainting with `for_inpainting_model` on."
        )
    return f"The model reads {channels} channels and predicts {latent}, which Safelight cannot run."


class _Predicted(NamedTuple):
    """The predictions of a UNet or transformer, with guidance and for the negative prompt alone."""

    guided: Tensor
    unguided: Tensor | None


def _with_controls_of(cond: list[PromptPart], uncond: list[PromptPart]) -> list[PromptPart]:
    """Add to a negative prompt the ControlNets of the prompt that also act on it, as in ComfyUI.

    They are added only if no part of the negative prompt has a ControlNet, and only to parts without an area.
    """
    acting = [
        tuple(control for control in part.controls if control.acts_on_negative)
        for part in cond
        if part.region.area is None
    ]
    controls = next(filter(None, acting), ())
    if not controls or any(part.controls for part in uncond):
        return uncond
    return [part._replace(controls=controls) if part.region.area is None else part for part in uncond]


def _sharing_controls(*prompts: list[PromptPart]) -> list[list[PromptPart]]:
    """Replace equal ControlNets of prompts by one object, so that their prompts run together."""
    known: list[Control] = []

    def shared(control: Control) -> Control:
        for one in known:
            if one._replace(hint=control.hint)[:] == control[:] and torch.equal(one.hint, control.hint):
                return one
        known.append(control)
        return control

    return [
        [part._replace(controls=tuple(map(shared, part.controls))) for part in parts] for parts in prompts
    ]


def _deviation(predicted: Tensor) -> Tensor:
    return predicted.std(dim=(1, 2, 3), keepdim=True)
