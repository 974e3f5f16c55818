"""Keys and values of a prompt that are computed once give the same bits as those computed in each step."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from nodes.sd.hypernetworks import network as hypernetwork
from nodes.sd.hypernetworks.network import LoadedHypernetwork
from nodes.sd.lora.file import lora
from nodes.sd.lora.patched import Layer, patched
from nodes.sd.prompts.control import Control
from nodes.sd.prompts.regions import Area, Region, Span
from nodes.sd.prompts.timeline import PromptPart, Timeline
from nodes.sd.sampling.denoiser import Denoiser
from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.noise_table import NoiseTable
from nodes.sd.sampling.samplers import sample, start
from nodes.sd.sampling.schedules import schedule
from nodes.sd.sampling.text_keys import with_text_keys

Read = Callable[[str], Tensor]
STEPS = 3
KEYS = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"


def switching(read: Read, *words: str) -> PromptPart:
    """A prompt that takes the next of its words in each step."""
    count = len(words)
    return PromptPart(tuple(map(read, words)), Timeline(cycle=count, table=tuple(range(count))))


def long(read: Read, *words: str) -> PromptPart:
    return PromptPart((torch.cat([read(word) for word in words], 1),))


@pytest.fixture(scope="module")
def controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = ControlNetModel.from_unet(unet).eval()
        for name, weights in network.named_parameters():
            if "controlnet_" in name:
                torch.nn.init.normal_(weights, std=0.05)
    return network.requires_grad_(False)


def with_lora(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """The UNet with a LoRA over the keys and values of all cross-attention."""
    draw = torch.Generator().manual_seed(3)
    adapters = {}
    for name, module in unet.named_modules():
        if "attn2" in name and name.endswith(("to_k", "to_v")):
            outputs, inputs = module.weight.shape
            tensors = {
                "x.lora_up.weight": torch.randn(outputs, 4, generator=draw) * 0.1,
                "x.lora_down.weight": torch.randn(4, inputs, generator=draw) * 0.1,
            }
            (adapters[name],) = lora(tensors, {}, "x").adapters.values()
    return patched(unet, [Layer("x", "1", adapters, dict.fromkeys(adapters, 0.8))])[0]


def with_hypernetwork(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    width = unet.config.cross_attention_dim
    with torch.random.fork_rng():
        torch.manual_seed(4)
        first, second = (nn.Sequential(nn.Linear(width, width)).requires_grad_(False) for _ in range(2))
    return hypernetwork.apply(unet, [(0.7, LoadedHypernetwork({width: (first, second)}))])[0]


def drawn(
    unet: Any,
    table: NoiseTable,
    prompt: list[PromptPart],
    negative: Tensor,
    count: int = 1,
    sampler: str = "euler",
    **settings: Any,
) -> Tensor:
    plan = schedule("karras", STEPS, table)
    noise = NoiseSource(7, count)
    denoiser = Denoiser(unet, plan, "v_prediction", prompt, uncond=negative, guidance=4.0, **settings)
    *_, last = sample(sampler, denoiser, start(noise.draw((4, 8, 8)), plan.sigmas), plan.sigmas)
    return last.x


def prompts(read: Read, controls: tuple[Control, ...]) -> dict[str, tuple[list[PromptPart], dict[str, Any]]]:
    """Prompts of every form, with the settings of the denoiser."""
    plain = PromptPart((read("a red circle"),))
    star = PromptPart((read("a blue star"),))
    return {
        "plain": ([plain], {}),
        "batch": ([plain], {"count": 2}),
        "guidance range": ([plain], {"guided": (0.34, 0.67)}),
        "switch": ([switching(read, "a red circle", "a blue star")], {}),
        "two lengths": ([long(read, "a red circle", "a blue star")], {}),
        "parts": ([plain, long(read, "a red circle", "a star")._replace(weight=0.5)], {}),
        "regions": ([plain, star._replace(group=1, region=Region(Area(8, 4, 0, 4)))], {}),
        "range": ([plain, star._replace(group=1, span=Span(0.3, 1.0))], {}),
        "control": ([plain._replace(controls=controls)], {}),
    }


FORMS = ["plain", "batch", "guidance range", "switch", "two lengths", "parts", "regions", "range", "control"]


@pytest.mark.parametrize("form", FORMS)
def test_the_latents_have_the_same_bits(
    unet: UNet2DConditionModel, controlnet: ControlNetModel, table: NoiseTable, read: Read, form: str
) -> None:
    hint = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    control = Control("0", "", "", hint, 0.7, acts_on_negative=True)
    prompt, settings = prompts(read, (control,))[form]
    once = with_text_keys(unet)
    found = drawn(once, table, prompt, read(""), controlnets={"0": with_text_keys(controlnet)}, **settings)
    expected = drawn(unet, table, prompt, read(""), controlnets={"0": controlnet}, **settings)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("patch", [with_lora, with_hypernetwork])
def test_patches_of_keys_and_values_act(
    unet: UNet2DConditionModel,
    table: NoiseTable,
    read: Read,
    patch: Callable[[UNet2DConditionModel], UNet2DConditionModel],
) -> None:
    prompt, negative = [PromptPart((read("a red circle"),))], read("")
    other = patch(unet)
    found = drawn(with_text_keys(other), table, prompt, negative)
    assert torch.equal(found, drawn(other, table, prompt, negative))
    assert not torch.equal(found, drawn(with_text_keys(unet), table, prompt, negative))


@pytest.mark.parametrize(
    ("form", "computed"),
    [("plain", 1), ("switch", 2), ("guidance range", 2), ("two lengths", 2), ("regions", 2)],
)
def test_each_text_is_computed_once(
    unet: UNet2DConditionModel, table: NoiseTable, read: Read, form: str, computed: int
) -> None:
    """Heun's method asks the model five times in three steps."""
    prompt, settings = prompts(read, ())[form]
    calls: list[Tensor] = []
    counted = unet.get_submodule(KEYS).register_forward_hook(lambda layer, given, answer: calls.append(given))
    try:
        drawn(with_text_keys(unet), table, prompt, read(""), sampler="heun", **settings)
        assert len(calls) == computed
    finally:
        counted.remove()


def test_more_texts_than_are_kept_give_the_same_bits(
    unet: UNet2DConditionModel, table: NoiseTable, read: Read
) -> None:
    words = ["a red circle", "a star", "a heart", "a blue star", "a green circle"]
    plan = schedule("normal", 2 * len(words), table)
    latents = []
    for network in (unet, with_text_keys(unet)):
        denoiser = Denoiser(
            network, plan, "v_prediction", [switching(read, *words)], uncond=read(""), guidance=3.0
        )
        x = start(NoiseSource(7).draw((4, 8, 8)), plan.sigmas)
        *_, last = sample("euler", denoiser, x, plan.sigmas)
        latents.append(last.x)
    assert torch.equal(*latents)


def test_nothing_is_kept_after_sampling(unet: UNet2DConditionModel, table: NoiseTable, read: Read) -> None:
    network = with_text_keys(unet)
    drawn(network, table, [PromptPart((read("a red circle"),))], read(""))
    gc.collect()
    layer: Any = network.get_submodule(KEYS)
    assert not layer._answers
    assert type(unet.get_submodule(KEYS)) is nn.Linear
    shared = {tensor.data_ptr() for tensor in unet.parameters()}
    assert {tensor.data_ptr() for tensor in network.parameters()} == shared
