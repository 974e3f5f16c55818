"""Prompts that change and prompts that pull together, as the denoiser hears them step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from nodes.sd.prompts.timeline import PromptPart, Timeline
from nodes.sd.sampling.denoiser import Denoiser
from nodes.sd.sampling.names import SamplerName
from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.noise_table import NoiseTable
from nodes.sd.sampling.samplers import sample, start
from nodes.sd.sampling.schedule import Schedule
from nodes.sd.sampling.schedules import schedule
from tests.nodes.sd.prompts.conftest import Encode

Read = Callable[[str], Tensor]
STEPS = 6


@pytest.fixture
def plan(table: NoiseTable) -> Schedule:
    return schedule("karras", STEPS, table)


def drawn(denoiser: Denoiser, plan: Schedule, sampler: SamplerName = "euler") -> Tensor:
    noise = NoiseSource(3, 2)
    *_, last = sample(sampler, denoiser, start(noise.draw((4, 16, 16)), plan.sigmas), plan.sigmas, noise)
    return last.x


@pytest.mark.parametrize(("prompt", "switch"), [("[a:b:0.5]", 3), ("[a:b:2]", 2), ("[a:b:0.99]", 5)])
def test_a_switch_draws_the_first_steps_with_the_one_and_the_rest_with_the_other(
    unet: Any, plan: Schedule, read: Read, read_as: Encode, prompt: str, switch: int
) -> None:
    words = prompt.replace("a:", "a red circle:").replace("b:", "a blue star:")
    changing = Denoiser(unet, plan, "v_prediction", read_as(words).parts, uncond=read(""), guidance=4.0)
    found = drawn(changing, plan)

    noise = NoiseSource(3, 2)
    x = start(noise.draw((4, 16, 16)), plan.sigmas)
    for begin, end, asked in ((0, switch, "a red circle"), (switch, STEPS, "a blue star")):
        still = Denoiser(unet, plan, "v_prediction", read(asked), uncond=read(""), guidance=4.0)
        *_, last = sample("euler", still, x, plan.sigmas[begin : end + 1], noise)
        x = last.x
    assert torch.equal(found, x)


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpm2", "dpmpp_sde", "dpmpp_2m"])
def test_every_sampler_uses_the_reading_of_each_step(
    unet: Any, plan: Schedule, read: Read, sampler: SamplerName
) -> None:
    heard: list[int] = []

    class Spy(PromptPart):
        def at(self, step: int, total: int) -> Tensor:
            assert total == STEPS
            heard.append(step)
            return super().at(step, total)

    denoiser = Denoiser(unet, plan, "v_prediction", [Spy((read("a red circle"),))])
    drawn(denoiser, plan, sampler)
    assert heard == sorted(heard)
    assert set(heard) == set(range(STEPS))


def test_parts_pull_away_from_the_negative_prompt_each_with_its_weight(
    unet: Any, plan: Schedule, read: Read
) -> None:
    first, second, negative = read("a red circle"), read("a blue star"), read("blurry")
    parts = [PromptPart((first,), weight=1.5), PromptPart((second,), weight=-0.5)]
    denoiser = Denoiser(unet, plan, "epsilon", parts, uncond=negative, guidance=3.0)
    x, sigma = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1)), plan.sigmas[2]

    def predicted(rows: Tensor) -> Tensor:
        scaled = x / (sigma**2 + 1) ** 0.5
        answer: Tensor = unet(scaled, plan.timestep(sigma), encoder_hidden_states=rows).sample
        return answer.double()

    with torch.no_grad():
        without = predicted(negative)
        guided = without + 3.0 * (1.5 * (predicted(first) - without) - 0.5 * (predicted(second) - without))
    expected = x.double() - float(sigma) * guided
    assert torch.allclose(denoiser(x, sigma).double(), expected, rtol=1e-4, atol=1e-4)


def test_one_part_of_weight_one_is_the_plain_prompt_bit_for_bit(
    unet: Any, plan: Schedule, read: Read
) -> None:
    def by(prompt: Tensor | Sequence[PromptPart]) -> Tensor:
        return drawn(Denoiser(unet, plan, "v_prediction", prompt, uncond=read(""), guidance=4.0), plan)

    rows = read("a red circle")
    assert torch.equal(by(rows), by([PromptPart((rows,))]))


def test_prompts_of_unequal_length_are_read_as_if_the_shorter_were_repeated(
    unet: Any, plan: Schedule, read: Read, read_as: Encode
) -> None:
    long = read_as("a red circle BREAK a blue star").parts
    short = read("blurry")
    assert long[0].encodings[0].shape[1] == 2 * short.shape[1]
    apart = Denoiser(unet, plan, "v_prediction", long, uncond=short, guidance=4.0)
    repeated = Denoiser(unet, plan, "v_prediction", long, uncond=torch.cat([short, short], 1), guidance=4.0)
    assert torch.allclose(drawn(apart, plan), drawn(repeated, plan), rtol=1e-3, atol=1e-3)


def test_parts_of_unequal_length_repeat_their_last_row(unet: Any, plan: Schedule, read: Read) -> None:
    short, long = read("a red circle"), torch.cat([read("a"), read("b")], 1)
    padded = torch.cat([short, short[:, -1:].expand(-1, 77, -1)], 1)

    def by(first: Tensor) -> Tensor:
        parts = [PromptPart((first,)), PromptPart((long,))]
        return drawn(Denoiser(unet, plan, "v_prediction", parts, uncond=read(""), guidance=4.0), plan)

    assert torch.equal(by(short), by(padded))


def test_parts_need_a_negative_prompt_and_it_has_no_parts(unet: Any, plan: Schedule, read: Read) -> None:
    two = [PromptPart((read("a"),)), PromptPart((read("b"),))]
    with pytest.raises(ValueError, match="needs the embeddings of a negative prompt"):
        Denoiser(unet, plan, "v_prediction", two)
    with pytest.raises(ValueError, match="A negative prompt cannot have several parts"):
        Denoiser(unet, plan, "v_prediction", read("a"), uncond=two, guidance=2.0)
    with pytest.raises(ValueError, match="prompt's embeddings are 65 wide"):
        Denoiser(unet, plan, "v_prediction", [PromptPart((torch.zeros(1, 77, 65),))])


def test_a_timeline_knows_its_reading_at_every_step() -> None:
    timeline = Timeline((0.25, 0.5), (3,), 2, tuple(range(12)))
    for total in (1, 4, 7, 20):
        for step in range(total):
            early = (step + 1 > int(0.25 * total)) + (step + 1 > int(0.5 * total))
            assert timeline.at(step, total) == early * 4 + (step + 1 > 3) * 2 + step % 2
