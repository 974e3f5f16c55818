"""A whole UNet with prior preservation, against the loop of diffusers' DreamBooth script in float64."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nodes.sd.fine_tuning.diffusion_loss import DiffusionLoss
from nodes.sd.fine_tuning.latents import CachedPicture
from nodes.sd.fine_tuning.prompt_encoders import EncodedBatch
from nodes.sd.fine_tuning.prompts import CaptionedPicture, Prompts
from nodes.sd.fine_tuning.task import TrainingTask
from nodes.sd.training_loop.data_order import DataOrder
from nodes.sd.training_loop.loop import Batch
from nodes.sd.training_loop.random_sources import RandomSources
from tests.counts import short_and_full

RATE, PRIOR_WEIGHT = 1e-5, 0.7
ALPHAS = torch.linspace(0.999, 0.005, 1000)


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@short_and_full("steps", 2, 50)
def test_losses_are_those_of_dreambooth(small_unet: Any, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from nodes.training.prior import Prior

    text = {word: numbers(n, 1, 77, 64) for n, word in enumerate(("a zzz heart", "a heart"))}
    drawn: list[tuple[str, Tensor, Tensor, Tensor]] = []
    ours, theirs = (copy.deepcopy(small_unet).requires_grad_(True) for _ in range(2))

    class Kept(DiffusionLoss):
        """Keeps what a step draws."""

        def draw(self, latents: Tensor, generator: torch.Generator) -> Any:
            noise = super().draw(latents, generator)
            drawn.append(("", latents, noise.target, noise.timesteps))
            return noise

    def encode(texts: Any) -> EncodedBatch:
        (word,) = set(texts)
        drawn[-1] = (word, *drawn[-1][1:])
        return EncodedBatch(torch.cat([text[word] for word in texts]), None)

    def pictures(first: int, caption: str) -> list[CaptionedPicture]:
        made = (CachedPicture(numbers(first + n, 4, 4, 4), None) for n in range(3))
        return [CaptionedPicture(one, caption) for one in made]

    class Inputs:
        batch, seed, class_prompt, prior_weight = 2, 5, "a heart", PRIOR_WEIGHT

    monkeypatch.setattr("nodes.training.prior.PriorPreservation", Inputs)
    prompts, order = Prompts("zzz", ["a [name] heart"]), DataOrder([0] * 3, 2, 5)
    task = TrainingTask(encode, ours, (), Kept(ALPHAS, "epsilon"), pictures(20, ""), prompts, order)
    prior = Prior(task, pictures(40, ""), Inputs())  # type: ignore[arg-type]
    first, second = (torch.optim.AdamW(unet.parameters(), lr=RATE) for unet in (ours, theirs))
    draws = RandomSources.seeded(0)
    losses: list[list[float]] = [[], []]
    for step in range(steps):
        place = Batch(step, 0.0)
        loss = task.loss(draws, place) + prior.loss(draws, place)
        words, latents, noise, timesteps = zip(*drawn[-2:], strict=True)
        assert words == ("a zzz heart", "a heart")
        hidden = torch.cat([text[word].expand(2, -1, -1) for word in words])
        shares = ALPHAS[torch.cat(timesteps)].double()[:, None, None, None]
        noisy = shares.sqrt() * torch.cat(latents) + (1 - shares).sqrt() * torch.cat(noise)
        predicted, kept = theirs(noisy, torch.cat(timesteps), hidden).sample.chunk(2)
        reference = F.mse_loss(predicted, noise[0]) + PRIOR_WEIGHT * F.mse_loss(kept, noise[1])
        for number, (optimizer, value) in enumerate(((first, loss), (second, reference))):
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses[number].append(value.item())
    assert max(abs(a - b) / b for a, b in zip(*losses, strict=True)) < 1e-9
    assert losses[0][-1] != losses[0][0]
