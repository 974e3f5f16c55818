"""The UNet as samplers see it: a latent and its noise level in, the clean latent out."""

from __future__ import annotations

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from nodes.sd.names import Prediction
from nodes.sd.schedules import Schedule


class Denoiser:
    """D(x, sigma) of arXiv:2206.00364 out of a UNet, with classifier-free guidance (arXiv:2207.12598).

    The order of operations is that of diffusers' StableDiffusionPipeline, so that equal settings give equal
    bits in float32. In half precision only the UNet runs in half; x and the guidance keep that of x.

    Args:
        unet: the model, on the device of x.
        schedule: tells the training step of each sigma.
        prediction: what the UNet was trained to predict.
        cond: embeddings of the prompt, [1 or batch, tokens, width].
        uncond: embeddings of the negative prompt, likewise; may stay out at guidance 1.
        guidance: how far to lean away from `uncond`. 1 takes `cond` as it is, at half the work.
        rescale: how much of the contrast that guidance adds is taken back, 0 to 1 (arXiv:2305.08891, section
            3.4); 0.7 suits models trained to zero signal, 0 all others.

    Raises:
        ValueError: guidance is not 1 and `uncond` is missing, or widths do not match the UNet.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        schedule: Schedule,
        prediction: Prediction,
        cond: Tensor,
        *,
        uncond: Tensor | None = None,
        guidance: float = 1.0,
        rescale: float = 0.0,
    ) -> None:
        if uncond is None and guidance != 1:
            raise ValueError(
                f"Guidance {guidance} needs a negative prompt's embeddings; an empty prompt's will do."
            )
        width = unet.config.cross_attention_dim
        for name, embeddings in (("prompt", cond), ("negative prompt", uncond)):
            if embeddings is not None and embeddings.shape[-1] != width:
                raise ValueError(
                    f"The {name}'s embeddings are {embeddings.shape[-1]} wide, the UNet reads {width}."
                    " Encode it with the same model's text encoder."
                )
        self._unet = unet
        self._schedule = schedule
        self._prediction = prediction
        like = next(unet.parameters())  # diffusers' own `device` and `dtype` walk the whole model, each time
        self._cond = cond.to(like)
        self._uncond = uncond.to(like) if uncond is not None and guidance != 1 else None
        self._guidance = guidance
        self._rescale = rescale

    @torch.no_grad()
    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The clean latent seen in x.

        Args:
            x: [batch, channels, height, width].
            sigma: its noise level, a scalar on the CPU.
        """
        predicted = self._predict(x / ((sigma**2 + 1) ** 0.5), self._schedule.timestep(sigma))
        if self._prediction == "epsilon":
            return x - sigma * predicted
        if self._prediction == "v_prediction":
            return predicted * (-sigma / (sigma**2 + 1) ** 0.5) + (x / (sigma**2 + 1))
        return predicted

    def _predict(self, scaled: Tensor, timestep: Tensor) -> Tensor:
        batch = len(scaled)
        cond = self._cond.expand(batch, -1, -1)
        if self._uncond is None:
            return self._ask(scaled, timestep, cond)
        uncond = self._uncond.expand(batch, -1, -1)
        if uncond.shape == cond.shape:
            both = self._ask(torch.cat([scaled, scaled]), timestep, torch.cat([uncond, cond]))
            without, with_prompt = both.chunk(2)
        else:
            without = self._ask(scaled, timestep, uncond)
            with_prompt = self._ask(scaled, timestep, cond)
        guided = without + self._guidance * (with_prompt - without)
        if self._rescale == 0:
            return guided
        tamed = guided * (_spread(with_prompt) / _spread(guided))
        return self._rescale * tamed + (1 - self._rescale) * guided

    def _ask(self, scaled: Tensor, timestep: Tensor, embeddings: Tensor) -> Tensor:
        answer: Tensor = self._unet(
            scaled.to(self._cond.dtype), timestep, encoder_hidden_states=embeddings, return_dict=False
        )[0]
        return answer.to(scaled.dtype)


def _spread(predicted: Tensor) -> Tensor:
    return predicted.std(dim=(1, 2, 3), keepdim=True)
