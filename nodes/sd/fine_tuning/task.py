"""The training task on pictures: computes the loss of a batch, and that of held-out pictures."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from nodes.sd.families.family import DenoisingNetwork
from nodes.sd.families.unet import UNET
from nodes.sd.fine_tuning.added_noise import Noise
from nodes.sd.fine_tuning.latents import batch_weights, drawn
from nodes.sd.fine_tuning.loss import PictureLoss
from nodes.sd.fine_tuning.prompt_encoders import EncodedBatch
from nodes.sd.fine_tuning.prompts import CaptionedPicture, Prompts
from nodes.sd.models.text_encoder import WINDOW
from nodes.sd.training_loop.data_order import DataOrder
from nodes.sd.training_loop.loop import Batch
from nodes.sd.training_loop.random_sources import RandomSources

Encode = Callable[[Sequence[str]], EncodedBatch]
"""Encodes a batch of prompts with the current weights and vectors."""

_REMEMBERED = 256
"""The most prompts whose encodings are kept when the text encoders do not change."""


TRAINED_GUIDANCE = 1.0
"""The distilled guidance at which a model is trained, so that pictures are neither more nor less guided."""


class TrainingTask:
    """Computes the loss of batches of pictures; it does not know which weights are trained.

    Args:
        encode: encodes prompts.
        unet: the UNet or transformer that makes the prediction.
        size_numbers: the numbers that SDXL's UNet reads beside the pooled vector (`time_ids`); empty for
            other families.
        loss: adds noise to latents, and computes the loss of the prediction.
        pictures: the pictures to train on.
        prompts: makes the prompts of the pictures.
        order: selects the pictures of each batch.
        autocast: a precision in which the networks compute; None for that of their weights.
        fixed_text: True if the encoding of a prompt never changes, so that each prompt is encoded once.
        network: how the UNet or transformer is called.
    """

    def __init__(
        self,
        encode: Encode,
        unet: Any,
        size_numbers: Sequence[float],
        loss: PictureLoss,
        pictures: Sequence[CaptionedPicture],
        prompts: Prompts,
        order: DataOrder,
        autocast: torch.dtype | None = None,
        *,
        fixed_text: bool = False,
        network: DenoisingNetwork = UNET,
    ) -> None:
        self._unet, self._loss, self._network = unet, loss, network
        self._size_numbers = size_numbers
        self._pictures, self._prompts, self._order = pictures, prompts, order
        self._autocast = autocast
        self._encode_now = encode
        self.encode: Encode = self._remembered if fixed_text else encode
        """Encodes prompts with the current weights; cached if the encoding never changes."""
        self._encodings: OrderedDict[str, EncodedBatch] = OrderedDict()
        like = next(unet.parameters())
        self._device, self._dtype = like.device, like.dtype

    def with_pictures(
        self, pictures: Sequence[CaptionedPicture], prompts: Prompts, order: DataOrder
    ) -> TrainingTask:
        """Return a task for other pictures, with the same networks, loss and cached encodings."""
        other = copy.copy(self)
        other._pictures, other._prompts, other._order = pictures, prompts, order
        return other

    @property
    def loss_scale(self) -> float:
        """The initial loss scale of the training: large in float16, where small gradients become 0."""
        half = torch.float16 in (self._dtype, self._autocast)
        return 65_536.0 if half else 1.0

    def loss(self, draws: RandomSources, place: Batch) -> Tensor:
        """Compute the loss of a batch of the training, a scalar with a gradient."""
        numbers = self._order.batch(place.number)
        pictures = [self._pictures[number] for number in numbers]
        prompts = [
            self._prompts.of(picture, number, draws.python)
            for picture, number in zip(pictures, numbers, strict=True)
        ]
        cached = [picture.latents for picture in pictures]
        latents = drawn(cached, draws.torch).to(self._device, torch.promote_types(self._dtype, torch.float32))
        noise = self._loss.draw(latents, draws.torch)
        with self._precision():
            cond = self.encode(prompts)
        return self._error(cond, latents, noise, batch_weights(cached))

    @torch.no_grad()
    def held_out_loss(self, pictures: Sequence[CaptionedPicture], seed: int, repeats: int = 8) -> float:
        """Compute the mean loss of held-out pictures.

        Each picture gets the same noise and timesteps each time, so that only the trained weights change the
        loss. Its prompt is the first line of the template with the whole caption.

        Args:
            pictures: the pictures.
            seed: the seed of the noise.
            repeats: the number of noise samples for each picture; their timesteps are spread evenly.
        """
        losses = []
        for number, picture in enumerate(pictures):
            generator = torch.Generator().manual_seed((seed + 1_000_003 * (number + 1)) % 2**63)
            latents = drawn([picture.latents] * repeats, generator).to(self._device)
            noise = self._loss.draw(latents, generator)
            noise = noise._replace(timesteps=self._loss.spread_timesteps(repeats))
            cond = self.encode([self._prompts.first(picture)])
            weights = batch_weights([picture.latents] * repeats)
            losses.append(float(self._error(_repeated(cond, repeats), latents, noise, weights)))
        return sum(losses) / len(losses)

    def _error(self, cond: EncodedBatch, latents: Tensor, noise: Noise, weights: Tensor | None) -> Tensor:
        vectors: dict[str, Tensor] = {}
        if cond.pooled is not None and (self._size_numbers or self._network.reads_pooled):
            vectors["text_embeds"] = cond.pooled.to(self._dtype)
        if self._size_numbers:
            vectors["time_ids"] = torch.tensor([list(self._size_numbers)] * len(latents)).to(latents)
        if self._network.distilled_guidance is not None:
            vectors["guidance"] = torch.full((len(latents),), TRAINED_GUIDANCE, device=self._device)
        more = self._network.arguments(vectors)

        def predict(noisy: Tensor, at: Tensor) -> Tensor:
            rows = cond.rows.to(self._dtype)
            with self._precision():
                return self._network.call(
                    self._unet, noisy.to(self._dtype), at, encoder_hidden_states=rows, **more
                )

        moved = None if weights is None else weights.to(latents)
        return self._loss(predict, latents, noise, moved)

    def _precision(self) -> AbstractContextManager[Any]:
        if self._autocast is None:
            return nullcontext()
        return torch.autocast(self._device.type, self._autocast)

    def _remembered(self, prompts: Sequence[str]) -> EncodedBatch:
        """Encode each prompt once; shorter ones of a batch are padded with empty chunks."""
        found = [self._remembered_one(prompt) for prompt in prompts]
        longest = max(one.rows.shape[1] for one in found)
        rows = []
        for one in found:
            missing = (longest - one.rows.shape[1]) // WINDOW
            padding = [self._remembered_one("").rows[:, :WINDOW]] * missing
            end = one.rows.shape[1] - one.tail
            rows.append(torch.cat([one.rows[:, :end], *padding, one.rows[:, end:]], 1))
        pooled = [one.pooled for one in found if one.pooled is not None]
        return EncodedBatch(torch.cat(rows), torch.cat(pooled) if pooled else None, found[0].tail)

    @torch.no_grad()
    def _remembered_one(self, prompt: str) -> EncodedBatch:
        if prompt not in self._encodings:
            self._encodings[prompt] = self._encode_now([prompt])
        self._encodings.move_to_end(prompt)
        if len(self._encodings) > _REMEMBERED:
            self._encodings.popitem(last=False)
        return self._encodings[prompt]


def _repeated(batch: EncodedBatch, count: int) -> EncodedBatch:
    """Repeat an encoded prompt for `count` pictures; the tensors are not copied."""
    pooled = None if batch.pooled is None else batch.pooled.expand(count, -1)
    return EncodedBatch(batch.rows.expand(count, -1, -1), pooled)
