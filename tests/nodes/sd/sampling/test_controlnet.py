"""ControlNets: latents as diffusers' pipeline draws them, and when and where they act."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, EulerDiscreteScheduler, StableDiffusionControlNetPipeline
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from engine.errors import NodeError
from engine.session import Session
from engine.testing import run_node
from nodes.files.controlnet_files import ControlNet
from nodes.prompt.controlnet import ApplyControlNet, ApplyControlNetToPrompt, LoadControlNet
from nodes.sd.controlnets.network import block_count
from nodes.sd.prompts.control import Control
from nodes.sd.prompts.regions import Area, Region, Span
from nodes.sd.prompts.timeline import PromptPart
from nodes.sd.sampling.denoiser import Denoiser
from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.noise_table import NoiseTable
from nodes.sd.sampling.samplers import sample, start
from nodes.sd.sampling.schedule import Schedule
from nodes.sd.sampling.schedules import schedule
from nodes.values import Conditioning, Image

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Read = Callable[[str], Tensor]
ALWAYS = Span()


@pytest.fixture(scope="module")
def controlnets(unet: UNet2DConditionModel) -> list[ControlNetModel]:
    """Two small ControlNets whose outputs, unlike those of new ones, are not zero."""
    made = []
    for seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = ControlNetModel.from_unet(unet).eval()
            for name, weights in network.named_parameters():
                if "controlnet_" in name:
                    torch.nn.init.normal_(weights, std=0.05)
        made.append(network.requires_grad_(False))
    return made


def hint(seed: int) -> Tensor:
    return torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(seed))


def control(number: int, strength: float = 1.0, span: Span = ALWAYS) -> Control:
    return Control(str(number), "", "", hint(number), strength, span)


def sampled(denoiser: Denoiser, plan: Schedule) -> Tensor:
    noise = NoiseSource(7)
    *_, last = sample("euler", denoiser, start(noise.draw((4, 16, 16)), plan.sigmas), plan.sigmas)
    return last.x


@pytest.mark.parametrize("strengths", [(0.7,), (0.7, 0.4)])
def test_latents_are_those_of_diffusers(
    pipeline: Any,
    unet: UNet2DConditionModel,
    controlnets: list[ControlNetModel],
    table: NoiseTable,
    read: Read,
    strengths: tuple[float, ...],
) -> None:
    count = len(strengths)
    network: Any = controlnets[0] if count == 1 else controlnets
    made = pipeline(
        EulerDiscreteScheduler,
        kind=lambda **parts: StableDiffusionControlNetPipeline(controlnet=network, **parts),
    )
    hints = [hint(number) for number in range(count)]
    expected = made(
        "a red cube",
        image=hints[0] if count == 1 else hints,
        controlnet_conditioning_scale=strengths[0] if count == 1 else list(strengths),
        num_inference_steps=3,
        guidance_scale=5.0,
        generator=[torch.Generator().manual_seed(7)],
        output_type="latent",
    ).images
    controls = tuple(control(number, strength) for number, strength in enumerate(strengths))
    plan = schedule("normal", 3, table)
    denoiser = Denoiser(
        unet,
        plan,
        "v_prediction",
        [PromptPart((read("a red cube"),), controls=controls)],
        uncond=[PromptPart((read(""),), controls=controls)],
        guidance=5.0,
        controlnets={str(number): network for number, network in enumerate(controlnets)},
    )
    torch.testing.assert_close(sampled(denoiser, plan), expected, rtol=0, atol=1e-5)
    plain = Denoiser(unet, plan, "v_prediction", read("a red cube"), uncond=read(""), guidance=5.0)
    assert float((sampled(plain, plan) - expected).abs().max()) > 0.05, "the ControlNet has an effect"


def test_strengths_by_block_are_those_of_diffusers_guess_mode(
    pipeline: Any,
    unet: UNet2DConditionModel,
    controlnets: list[ControlNetModel],
    table: NoiseTable,
    read: Read,
) -> None:
    """Its guess mode weakens the blocks from 1 in the middle to 0.1, and acts on the prompt alone."""
    made = pipeline(
        EulerDiscreteScheduler,
        kind=lambda **parts: StableDiffusionControlNetPipeline(controlnet=controlnets[0], **parts),
    )
    expected = made(
        "a red cube",
        image=hint(0),
        guess_mode=True,
        num_inference_steps=2,
        guidance_scale=5.0,
        generator=[torch.Generator().manual_seed(7)],
        output_type="latent",
    ).images
    count = len(controlnets[0].controlnet_down_blocks) + 1
    assert block_count(controlnets[0].config) == count
    blocks = tuple(10 ** (place / (count - 1) - 1) for place in range(count))
    plan = schedule("normal", 2, table)
    prompt = PromptPart((read("a red cube"),), controls=(control(0)._replace(blocks=blocks),))
    network = {"0": controlnets[0]}
    denoiser = Denoiser(
        unet, plan, "v_prediction", [prompt], uncond=read(""), guidance=5.0, controlnets=network
    )
    torch.testing.assert_close(sampled(denoiser, plan), expected, rtol=0, atol=1e-5)


def test_a_control_can_spread_to_the_negative_prompt(
    unet: UNet2DConditionModel, controlnets: list[ControlNetModel], table: NoiseTable, read: Read
) -> None:
    plan = schedule("normal", 10, table)
    networks = {"0": controlnets[0], "1": controlnets[1]}
    x = torch.zeros(1, 4, 16, 16)

    def answer(positive: Control, *negative: Control) -> Tensor:
        prompt = PromptPart((read("a red cube"),), controls=(positive,))
        uncond = PromptPart((read(""),), controls=negative)
        return Denoiser(unet, plan, "epsilon", [prompt], uncond=[uncond], guidance=5.0, controlnets=networks)(
            x, plan.sigmas[0]
        )

    spreading = control(0)._replace(acts_on_negative=True)
    assert torch.equal(answer(spreading), answer(control(0), control(0)))
    assert not torch.equal(answer(control(0)), answer(control(0), control(0)))
    assert torch.equal(answer(spreading, control(1)), answer(control(0), control(1)))


def test_a_control_acts_in_its_range_and_sees_its_area(
    unet: UNet2DConditionModel, controlnets: list[ControlNetModel], table: NoiseTable, read: Read
) -> None:
    plan = schedule("normal", 10, table)
    seen: list[tuple[int, ...]] = []

    class Spy:
        def __call__(self, x: Tensor, *_: Any, controlnet_cond: Tensor, **more: Any) -> Any:
            seen.append((*x.shape[-2:], *controlnet_cond.shape[-2:]))
            return controlnets[0](x, *_, controlnet_cond=controlnet_cond, **more)

    late = control(0, span=Span(0.5, 1.0))
    parts = [
        PromptPart((read("a"),)),
        PromptPart((read("b"),), group=1, region=Region(Area(8, 8, 4, 4)), controls=(late,)),
    ]
    denoiser = Denoiser(unet, plan, "epsilon", parts, controlnets={"0": Spy()})
    for step in (0, 4):
        denoiser(torch.zeros(1, 4, 16, 16), plan.sigmas[step])
    assert seen == []
    denoiser(torch.zeros(1, 4, 16, 16), plan.sigmas[5])
    assert seen == [(8, 8, 64, 64)]


def test_nodes_load_and_apply_one_from_a_folder(
    session: Session, home: Path, controlnets: list[ControlNetModel]
) -> None:
    controlnets[0].save_pretrained(home / "models" / "controlnet" / "edges")
    network = run_node(session, LoadControlNet(controlnet="edges"))["out"]
    assert isinstance(network, ControlNet)
    loaded, size = network.load(session.compute, session.files)
    expected = dict(controlnets[0].named_parameters())
    assert all(torch.equal(value, expected[name]) for name, value in loaded.named_parameters())
    assert size == sum(value.nbytes for value in expected.values())
    prompt = Conditioning(torch.zeros(1, 77, 8), 3)
    blocks = [0.5] * (len(controlnets[0].controlnet_down_blocks) + 1)
    pixels = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(1, 8, 8, 3)
    node = ApplyControlNet(
        positive=prompt,
        negative=prompt,
        controlnet=network,
        image=Image(pixels),
        strength=0.5,
        end=0.8,
        blocks=", ".join(map(str, blocks)),
    )
    made = run_node(session, node)
    for side in ("positive", "negative"):
        found = made[side]
        assert isinstance(found, Conditioning)
        ((one,),) = (part.controls for part in found.parts)
        assert (one.digest, one.strength, one.span) == (network.digest, 0.5, Span(0, 0.8))
        assert one.blocks == tuple(blocks)
        np.testing.assert_allclose(one.hint[0].permute(1, 2, 0).numpy() * 255, pixels[0], atol=1e-4)


@pytest.mark.parametrize(
    ("mode", "on_negative", "softened"),
    [("balanced", True, False), ("prompt", True, True), ("control", False, True)],
)
def test_control_modes_are_those_of_a1111(
    session: Session, mode: Any, on_negative: bool, softened: bool
) -> None:
    network = ControlNet("d", json.dumps({"down_block_types": ["", "", ""]}), "xl")
    prompt = Conditioning(torch.zeros(1, 77, 8), 3)
    image = Image(np.zeros((1, 8, 8, 3), np.uint8))
    made = run_node(
        session,
        ApplyControlNet(positive=prompt, negative=prompt, controlnet=network, image=image, mode=mode),
    )
    controls = {}
    for side in ("positive", "negative"):
        found = made[side]
        assert isinstance(found, Conditioning)
        controls[side] = found.parts[0].controls
    assert len(controls["negative"]) == on_negative
    (one,) = controls["positive"]
    assert one.blocks == pytest.approx([0.825 ** (9 - place) for place in range(10)] if softened else [])


@pytest.mark.parametrize("blocks", ["1, 1", "1, x, 1, 1, 1, 1, 1, 1, 1, 1", "1, 11, 1, 1, 1, 1, 1, 1, 1, 1"])
def test_wrong_strengths_by_block_are_refused(session: Session, blocks: str) -> None:
    network = ControlNet("d", json.dumps({"down_block_types": ["", "", ""]}), "xl")
    prompt = Conditioning(torch.zeros(1, 77, 8), 3)
    image = Image(np.zeros((1, 8, 8, 3), np.uint8))
    node = ApplyControlNet(positive=prompt, negative=prompt, controlnet=network, image=image, blocks=blocks)
    with pytest.raises(NodeError) as caught:
        run_node(session, node)
    assert caught.value.input == "blocks"


def test_the_older_apply_node_spreads_to_the_negative_prompt(session: Session) -> None:
    node = ApplyControlNetToPrompt(
        prompt=Conditioning(torch.zeros(1, 77, 8), 3),
        controlnet=ControlNet("d", "{}", "canny"),
        image=Image(np.zeros((1, 8, 8, 3), np.uint8)),
        strength=0.5,
    )
    found = run_node(session, node)["out"]
    assert isinstance(found, Conditioning)
    (one,) = found.parts[0].controls
    assert (one.strength, one.acts_on_negative) == (0.5, True)
