"""Prompts for parts of a picture: the denoiser against ComfyUI's rule, written as loops in float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from nodes.sd.prompts.regions import Area, Region, Span
from nodes.sd.prompts.timeline import PromptPart
from nodes.sd.sampling.denoiser import Denoiser
from nodes.sd.sampling.noise_table import NoiseTable
from nodes.sd.sampling.schedule import Schedule
from nodes.sd.sampling.schedules import schedule

HEIGHT, WIDTH = 24, 40
Numbers = NDArray[np.float64]
Box = tuple[int, int, int, int]
"""Height, width, top and left, in ComfyUI's order."""


class Shifted:
    """Stands in for a UNet: its answer depends on the prompt, on x, and on the place within the crop."""

    class config:
        cross_attention_dim = 8
        in_channels = out_channels = 4

    def __init__(self) -> None:
        self.calls: list[tuple[int, ...]] = []

    def parameters(self) -> Iterator[Tensor]:
        yield torch.zeros(1)

    def __call__(self, x: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, **_: Any) -> tuple[Tensor]:
        self.calls.append(tuple(x.shape))
        ramp = torch.arange(x.shape[-2])[:, None] * 0.03 - torch.arange(x.shape[-1]) * 0.01
        return (torch.tanh(x) + encoder_hidden_states.mean((1, 2))[:, None, None, None] + ramp,)


def answer(x: Numbers, value: float) -> Numbers:
    """What `Shifted` answers to a crop of x and a prompt whose numbers are all `value`."""
    ramp = np.arange(x.shape[-2])[:, None] * 0.03 - np.arange(x.shape[-1]) * 0.01
    return np.tanh(x) + value + ramp


def comfyui(prompts: list[dict[str, Any]], x: Numbers) -> Numbers:
    """comfy/samplers.py: get_area_and_mult and the sums of calc_cond_batch."""
    total, count = np.zeros_like(x), np.zeros_like(x)
    for prompt in prompts:
        tall, wide, top, left = prompt.get("area", (HEIGHT, WIDTH, 0, 0))
        crop = x[:, :, top : top + tall, left : left + wide]
        mult = np.ones_like(crop)
        if "mask" in prompt:
            mask = prompt["mask"][top : top + tall, left : left + wide] * prompt.get("mask_strength", 1.0)
            mult *= mask
        elif "area" in prompt:
            for axis, length, start, whole in ((2, tall, top, HEIGHT), (3, wide, left, WIDTH)):
                steps = min(8, length // 4)
                view = np.moveaxis(mult, axis, 0)
                for t in range(steps):
                    if start != 0:
                        view[t] *= (t + 1) / steps
                    if start + length < whole:
                        view[length - 1 - t] *= (t + 1) / steps
        mult *= prompt.get("strength", 1.0)
        total[:, :, top : top + tall, left : left + wide] += answer(crop, prompt["value"]) * mult
        count[:, :, top : top + tall, left : left + wide] += mult
    return np.asarray(total / np.maximum(count, 1e-37))


def part(value: float, group: int = 0, **more: Any) -> PromptPart:
    return PromptPart((torch.full((1, 77, 8), value),), group=group, **more)


@pytest.fixture
def plan(table: NoiseTable) -> Schedule:
    return schedule("normal", 10, table)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 4, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))


def found(
    plan: Schedule, x: Tensor, positive: list[PromptPart], negative: list[PromptPart], step: int = 0
) -> Tensor:
    """The prediction for x as if it were scaled already (the noise level's own scale is undone)."""
    sigma = plan.sigmas[step]
    denoiser = Denoiser(Shifted(), plan, "sample", positive, uncond=negative, guidance=3.0)
    return denoiser(x * (sigma**2 + 1) ** 0.5, sigma)


def matches(
    result: Tensor, x: Tensor, positive: list[dict[str, Any]], negative: list[dict[str, Any]]
) -> None:
    numbers = x.double().numpy()
    with_prompt, without = comfyui(positive, numbers), comfyui(negative, numbers)
    expected = without + 3.0 * (with_prompt - without)
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-4, atol=1e-4)


def test_two_prompts_are_averaged_with_their_strengths(plan: Schedule, x: Tensor) -> None:
    strong = part(2.0, 1, region=Region(strength=3.0))
    result = found(plan, x, [part(0.5), strong], [part(-1.0)])
    matches(result, x, [{"value": 0.5}, {"value": 2.0, "strength": 3.0}], [{"value": -1.0}])


@pytest.mark.parametrize("box", [(10, 16, 0, 8), (24, 12, 0, 28), (6, 40, 18, 0), (20, 33, 2, 3)])
def test_a_rectangle_is_seen_by_itself_and_its_edges_fade(plan: Schedule, x: Tensor, box: Box) -> None:
    limited = part(2.0, 1, region=Region(Area(*box), strength=0.7))
    result = found(plan, x, [part(0.5), limited], [part(-1.0)])
    there: dict[str, Any] = {"area": box, "strength": 0.7}
    positive: list[dict[str, Any]] = [{"value": 0.5}, {"value": 2.0, **there}]
    matches(result, x, positive, [{"value": -1.0}, {"value": -1.0, **there}])


def test_a_rectangle_may_be_given_in_shares_and_is_cut_at_the_edge(plan: Schedule, x: Tensor) -> None:
    limited = part(2.0, 1, region=Region(Area(0.5, 0.6, 0.25, 0.5, relative=True)))
    result = found(plan, x, [part(0.5), limited], [part(-1.0)])
    there: dict[str, Any] = {"area": (12, 20, 6, 20)}
    matches(result, x, [{"value": 0.5}, {"value": 2.0, **there}], [{"value": -1.0}, {"value": -1.0, **there}])


def test_the_opposite_of_a_rectangle_is_the_smallest_prompt_around_it(plan: Schedule, x: Tensor) -> None:
    limited = part(2.0, 1, region=Region(Area(8, 8, 6, 6)))
    around = part(-2.0, 1, region=Region(Area(20, 20, 0, 0)))
    result = found(plan, x, [part(0.5), limited], [part(-1.0), around])
    inner, outer = {"area": (8, 8, 6, 6)}, {"area": (20, 20, 0, 0)}
    negative: list[dict[str, Any]] = [{"value": -1.0}, {"value": -2.0, **outer}, {"value": -2.0, **inner}]
    matches(result, x, [{"value": 0.5}, {"value": 2.0, **inner}, {"value": 0.5, **outer}], negative)


def test_masks_blend_without_a_fade_and_are_scaled_to_the_latents(plan: Schedule, x: Tensor) -> None:
    mask = torch.rand(1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2))
    masked = part(2.0, 1, region=Region(mask=mask, mask_strength=0.8, strength=0.5))
    result = found(plan, x, [part(0.5), masked], [part(-1.0)])
    there: dict[str, Any] = {"mask": mask[0].double().numpy(), "mask_strength": 0.8, "strength": 0.5}
    matches(result, x, [{"value": 0.5}, {"value": 2.0, **there}], [{"value": -1.0}])
    large = torch.zeros(1, HEIGHT * 8, WIDTH * 8)
    large[:, :, 160:] = 1
    masked = part(2.0, 1, region=Region(mask=large))
    there = {"mask": np.repeat([np.arange(WIDTH) >= 20], HEIGHT, 0).astype(float)}
    matches(
        found(plan, x, [part(0.5), masked], [part(-1.0)]),
        x,
        [{"value": 0.5}, {"value": 2.0, **there}],
        [{"value": -1.0}],
    )


def test_a_mask_may_crop_what_the_model_sees(plan: Schedule, x: Tensor) -> None:
    mask = torch.zeros(1, HEIGHT, WIDTH)
    mask[:, 4:17, 9:12] = 0.6
    cropped = part(2.0, 1, region=Region(mask=mask, crops_to_mask=True))
    result = found(plan, x, [part(0.5), cropped], [part(-1.0)])
    there = {"mask": mask[0].double().numpy(), "area": (13, 8, 4, 9)}
    matches(result, x, [{"value": 0.5}, {"value": 2.0, **there}], [{"value": -1.0}, {"value": -1.0, **there}])


def test_prompts_act_in_their_range_of_the_training_steps(plan: Schedule, x: Tensor) -> None:
    early, late = part(0.5, span=Span(0, 0.5)), part(2.0, 1, span=Span(0.5, 1))
    for step, value in ((0, 0.5), (4, 0.5), (5, 2.0), (9, 2.0)):
        matches(found(plan, x, [early, late], [part(-1.0)], step), x, [{"value": value}], [{"value": -1.0}])


def test_parts_of_and_pull_together_within_an_average(plan: Schedule, x: Tensor) -> None:
    mask = torch.full((1, HEIGHT, WIDTH), 0.25)
    both = [part(1.0, 1, region=Region(mask=mask), weight=w) for w in (1.5, -0.5)]
    result = found(plan, x, [part(0.5), *both], [part(-1.0)])
    numbers = x.double().numpy()
    plain, together, without = (answer(numbers, value) for value in (0.5, 1.0, -1.0))
    pull = ((plain - without) + 0.25 * (1.5 - 0.5) * (together - without)) / 1.25
    np.testing.assert_allclose(result.numpy(), without + 3.0 * pull, rtol=1e-4, atol=1e-4)


def test_where_one_prompt_does_not_act_the_other_counts_alone(plan: Schedule, x: Tensor) -> None:
    left = torch.zeros(1, HEIGHT, WIDTH)
    left[:, :, :20] = 1
    masked = [part(2.0, region=Region(mask=left))]
    numbers = x.double().numpy()
    result = found(plan, x, masked, [part(-1.0)]).numpy()
    np.testing.assert_allclose(result[..., 20:], answer(numbers, -1.0)[..., 20:], rtol=1e-4, atol=1e-4)
    result = found(plan, x, [part(2.0)], [part(-1.0, region=Region(mask=left))]).numpy()
    np.testing.assert_allclose(result[..., 20:], answer(numbers, 2.0)[..., 20:], rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="There is no prompt for a part of the picture"):
        found(plan, x, masked, [part(-1.0, region=Region(mask=left))])


def test_several_masks_must_be_one_for_each_picture(plan: Schedule, x: Tensor) -> None:
    with pytest.raises(ValueError, match="3 masks for 2 pictures"):
        found(plan, x, [part(0.5), part(2.0, 1, region=Region(mask=torch.ones(3, 8, 8)))], [part(-1.0)])


def test_equal_crops_share_a_call(plan: Schedule, x: Tensor) -> None:
    unet = Shifted()
    limited = part(2.0, 1, region=Region(Area(8, 8, 6, 6)))
    denoiser = Denoiser(unet, plan, "sample", [part(0.5), limited], uncond=[part(-1.0)], guidance=3.0)
    denoiser(x, plan.sigmas[0])
    assert sorted(unet.calls) == [(4, 4, 8, 8), (4, 4, HEIGHT, WIDTH)]


@pytest.mark.parametrize(("guided", "doubled"), [((0.0, 1.0), range(10)), ((0.2, 0.75), range(2, 7))])
def test_the_negative_prompt_is_asked_only_where_guidance_acts(
    plan: Schedule, x: Tensor, guided: tuple[float, float], doubled: range
) -> None:
    """As diffusers' ClassifierFreeGuidance(start, stop): step numbers are rounded down."""
    unet = Shifted()
    denoiser = Denoiser(unet, plan, "sample", [part(0.5)], uncond=[part(-1.0)], guidance=3.0, guided=guided)
    for step in range(10):
        sigma = plan.sigmas[step]
        result = denoiser(x * (sigma**2 + 1) ** 0.5, sigma)
        expected = answer(x.double().numpy(), -1.0 + 3 * 1.5 if step in doubled else 0.5)
        np.testing.assert_allclose(result.numpy(), expected, rtol=1e-4, atol=1e-4)
    assert [shape[0] for shape in unet.calls] == [4 if step in doubled else 2 for step in range(10)]
