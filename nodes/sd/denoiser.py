"""The UNet as samplers see it: a latent and its noise level in, the clean latent out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from nodes.sd.names import Prediction
from nodes.sd.prompts.timeline import PromptPart
from nodes.sd.schedules import Schedule


class Denoiser:
    """D(x, sigma) of arXiv:2206.00364 out of a UNet, with classifier-free guidance (arXiv:2207.12598).

    The order of operations is that of diffusers' StableDiffusionPipeline, so that equal settings give equal
    bits in float32. In half precision only the UNet runs in half; x and the guidance keep that of x.

    Prompts may change from step to step, and the positive one may have several parts; each then pulls away
    from the negative prompt with its own weight (A1111's AND). Prompts of unequal lengths are read apart,
    which comes to what ComfyUI's repeating does; of parts, the shorter ones repeat their last row (A1111).

    Args:
        unet: the model, on the device of x.
        schedule: tells the training step of each sigma, and which step of all it is.
        prediction: what the UNet was trained to predict.
        cond: embeddings of the prompt, [1 or batch, tokens, width], or its parts.
        uncond: those of the negative prompt, likewise, of one part; may stay out at guidance 1 and weight 1.
        guidance: how far to lean away from `uncond`. 1 takes `cond` as it is, at half the work.
        rescale: how much of the contrast that guidance adds is taken back, 0 to 1 (arXiv:2305.08891, section
            3.4); 0.7 suits models trained to zero signal, 0 all others.

    Raises:
        ValueError: `uncond` is needed and missing, or has several parts, or widths do not match the UNet.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        schedule: Schedule,
        prediction: Prediction,
        cond: Tensor | Sequence[PromptPart],
        *,
        uncond: Tensor | Sequence[PromptPart] | None = None,
        guidance: float = 1.0,
        rescale: float = 0.0,
    ) -> None:
        like = next(unet.parameters())  # diffusers' own `device` and `dtype` walk the whole model, each time
        width = unet.config.cross_attention_dim
        self._cond = _placed(cond, "prompt", like, width)
        self._strengths = [guidance * part.weight for part in self._cond]
        leaning = self._strengths != [1]
        if uncond is None and leaning:
            raise ValueError(
                f"Guidance {guidance} needs a negative prompt's embeddings; an empty prompt's will do."
            )
        without = [] if uncond is None else _placed(uncond, "negative prompt", like, width)
        if len(without) > 1:
            raise ValueError("AND has no meaning in a negative prompt. Encode it with `negative` on.")
        self._uncond = without[0] if without and leaning else None
        self._unet = unet
        self._schedule = schedule
        self._prediction = prediction
        self._dtype = like.dtype
        self._rescale = rescale

    @torch.no_grad()
    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The clean latent seen in x.

        Args:
            x: [batch, channels, height, width].
            sigma: its noise level, a scalar on the CPU.
        """
        scaled = x / ((sigma**2 + 1) ** 0.5)
        predicted = self._predict(scaled, self._schedule.timestep(sigma), self._step(sigma))
        if self._prediction == "epsilon":
            return x - sigma * predicted
        if self._prediction == "v_prediction":
            return predicted * (-sigma / (sigma**2 + 1) ** 0.5) + (x / (sigma**2 + 1))
        return predicted

    def _step(self, sigma: Tensor) -> int:
        """Which step a noise level belongs to, counted from 0: the last one that begins at it or above."""
        begun = int((self._schedule.sigmas >= sigma).sum())
        return min(max(begun - 1, 0), self._schedule.steps - 1)

    def _predict(self, scaled: Tensor, timestep: Tensor, step: int) -> Tensor:
        batch, total = len(scaled), self._schedule.steps
        cond = _even([part.at(step, total).expand(batch, -1, -1) for part in self._cond])
        if self._uncond is None:
            return self._ask(scaled, timestep, cond)[0]
        uncond = self._uncond.at(step, total).expand(batch, -1, -1)
        if uncond.shape == cond[0].shape:
            without, *with_prompt = self._ask(scaled, timestep, [uncond, *cond])
        else:
            (without,) = self._ask(scaled, timestep, [uncond])
            with_prompt = self._ask(scaled, timestep, cond)
        guided = without
        for strength, predicted in zip(self._strengths, with_prompt, strict=True):
            guided = guided + strength * (predicted - without)
        if self._rescale == 0:
            return guided
        tamed = guided * (_spread(torch.stack(with_prompt).mean(0)) / _spread(guided))
        return self._rescale * tamed + (1 - self._rescale) * guided

    def _ask(self, scaled: Tensor, timestep: Tensor, prompts: list[Tensor]) -> list[Tensor]:
        many = len(prompts)
        answer: Tensor = self._unet(
            (torch.cat([scaled] * many) if many > 1 else scaled).to(self._dtype),
            timestep,
            encoder_hidden_states=torch.cat(prompts) if many > 1 else prompts[0],
            return_dict=False,
        )[0]
        return list(answer.to(scaled.dtype).chunk(many))


def _placed(prompt: Tensor | Sequence[PromptPart], name: str, like: Tensor, width: int) -> list[PromptPart]:
    """The parts of a prompt on the UNet's device, once their width is found to be its."""
    parts = [PromptPart((prompt,))] if isinstance(prompt, Tensor) else prompt
    for part in parts:
        for embeddings in part.encodings:
            if embeddings.shape[-1] != width:
                raise ValueError(
                    f"The {name}'s embeddings are {embeddings.shape[-1]} wide, the UNet reads {width}."
                    " Encode it with the same model's text encoder."
                )
    return [part._replace(encodings=tuple(rows.to(like) for rows in part.encodings)) for part in parts]


def _even(prompts: list[Tensor]) -> list[Tensor]:
    """Prompts at one length: the shorter ones repeat their last row."""
    longest = max(rows.shape[1] for rows in prompts)
    return [
        rows
        if rows.shape[1] == longest
        else torch.cat([rows, rows[:, -1:].expand(-1, longest - rows.shape[1], -1)], 1)
        for rows in prompts
    ]


def _spread(predicted: Tensor) -> Tensor:
    return predicted.std(dim=(1, 2, 3), keepdim=True)
