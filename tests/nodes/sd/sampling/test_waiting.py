"""The host never waits for the device between two steps.

The network and the latents are on torch's meta device here, whose tensors have no numbers: whatever reads a
number back from it fails. A mode of torch finds the copies to the device for which the host would wait.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, get_args

import pytest
import torch
from diffusers import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from nodes.sd.families.family import Flow
from nodes.sd.families.known import family_named
from nodes.sd.prompts.control import Control
from nodes.sd.prompts.timeline import PromptPart, Timeline
from nodes.sd.sampling.denoiser import Denoiser
from nodes.sd.sampling.flow_table import FlowTable
from nodes.sd.sampling.inpainting import MaskedDenoiser
from nodes.sd.sampling.names import NoiseKind, SamplerName
from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.noise_table import NoiseTable
from nodes.sd.sampling.samplers import SAMPLERS, Churn, SamplerSettings, sample, step_count
from nodes.sd.sampling.schedules import schedule
from nodes.sd.sampling.text_keys import with_text_keys
from tests.nodes.sd.families.small import small_model

META = torch.device("meta")
STEPS = 5
ADAPTIVE = {"dpm_adaptive"}
"""Samplers whose step length depends on the picture, so they read their error back in each step."""

_COPIES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}


class Waited(AssertionError):
    """The host would wait for the device."""


class NoCopies(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses copies from the host to the meta device that are not asynchronous.

    A number of the host in a tensor without dimensions is no copy: it is an argument of the computation.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _COPIES:
            to_copy = func is torch.ops.aten._to_copy.default
            source, target = (args[0], kwargs.get("device")) if to_copy else (args[1], args[0].device)
            waits = not (kwargs.get("non_blocking") or (not to_copy and len(args) > 2 and args[2]))
            if source.device.type == "cpu" and target is not None and target.type == "meta" and waits:
                raise Waited(func)
        return func(*args, **kwargs)


class NoNewTensors(TorchFunctionMode):
    """Refuses tensors that are made of Python's numbers on the meta device, which are copied there."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu") == META:
            raise Waited(func)
        return func(*args, **kwargs)


@contextmanager
def no_waiting() -> Iterator[None]:
    """Within this, nothing may wait for the meta device."""
    with NoCopies(), NoNewTensors():  # type: ignore[no-untyped-call]
        yield


Violation = Callable[[Tensor], object]
VIOLATIONS: dict[str, Violation] = {
    "item": lambda x: x.sum().item(),
    "float": lambda x: float(x.mean()),
    "branch": lambda x: bool((x > 0).all()),
    "finite": lambda x: bool(torch.isfinite(x).all()),
    "nonzero": lambda x: x.nonzero(),
    "mask": lambda x: x[x > 0],
    "to the host": lambda x: x.cpu(),
    "to the device": lambda x: torch.ones(3).to(x),
    "new on the device": lambda x: torch.tensor([1.0, 2.0], device=x.device),
    "written to the device": lambda x: x.copy_(torch.ones(x.shape)),
    "read by numpy": lambda x: x.numpy(),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_whatever_waits_is_found(name: str) -> None:
    with no_waiting(), pytest.raises((Waited, RuntimeError, NotImplementedError, TypeError)):
        VIOLATIONS[name](torch.ones(2, 3, device=META))


def test_numbers_of_the_host_are_arguments() -> None:
    x, sigma = torch.ones(2, 3, device=META), torch.tensor(2.0)
    with no_waiting():
        x = x / (sigma**2 + 1) ** 0.5 + torch.full((2, 1), float(sigma), device=META)
        assert x.to(META) is x
        torch.ones(3).to(META, non_blocking=True)


class Network:
    """Stands in for a UNet on the meta device."""

    class config:
        cross_attention_dim = 8
        in_channels = out_channels = 4

    def parameters(self) -> Iterator[Tensor]:
        yield torch.zeros(1, device=META)

    def __call__(self, x: Tensor, encoder_hidden_states: Tensor, **more: Any) -> tuple[Tensor]:
        return (x * encoder_hidden_states.mean(),)


def denoiser(plan: Any, **settings: Any) -> Denoiser:
    text = torch.zeros(1, 77, 8)
    return Denoiser(Network(), plan, "epsilon", text, uncond=text, guidance=4.0, separate=True, **settings)


def steps_without_waiting(
    name: SamplerName, model: Any, plan: Any, kind: NoiseKind = "cpu", **settings: Any
) -> None:
    """Draw all steps of a sampler; the check after the last one may wait."""
    x = torch.ones(2, 4, 8, 8, device=META)
    chosen = SamplerSettings(**settings)
    steps = sample(name, model, x, plan.sigmas, NoiseSource(1, 2, kind), chosen, plan.table)
    count = step_count(name, plan.sigmas)
    with no_waiting():
        assert sum(1 for _ in islice(steps, count)) == count
    with pytest.raises((RuntimeError, NotImplementedError)):
        next(steps)  # NaN is looked for once, at the end


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in ADAPTIVE])
def test_no_sampler_waits(name: SamplerName, table: NoiseTable) -> None:
    plan = schedule("karras", STEPS, table)
    settings: dict[str, Any] = {"churn": Churn(5.0)} if SAMPLERS[name].churns else {}
    steps_without_waiting(name, denoiser(plan), plan, **settings)


@pytest.mark.parametrize("name", [name for name, one in SAMPLERS.items() if one.flow != "none"])
def test_no_sampler_waits_on_a_model_that_learned_a_flow(name: SamplerName) -> None:
    plan = schedule("simple", STEPS, FlowTable(Flow(3.0)))
    steps_without_waiting(name, denoiser(plan), plan)


@pytest.mark.parametrize("name", sorted(ADAPTIVE))
def test_a_sampler_that_adapts_reads_its_error_back(name: SamplerName, table: NoiseTable) -> None:
    plan = schedule("karras", STEPS, table)
    x = torch.ones(1, 4, 8, 8, device=META)
    with pytest.raises((RuntimeError, NotImplementedError)):
        next(sample(name, denoiser(plan), x, plan.sigmas, NoiseSource(1), table=plan.table))


@pytest.mark.parametrize("kind", get_args(NoiseKind))
@pytest.mark.parametrize("name", ["euler_ancestral", "dpmpp_2m_sde"])
def test_no_kind_of_noise_waits(name: SamplerName, kind: NoiseKind, table: NoiseTable) -> None:
    plan = schedule("karras", STEPS, table)
    steps_without_waiting(name, denoiser(plan), plan, kind)


def test_a_masked_picture_does_not_wait(table: NoiseTable) -> None:
    plan = schedule("karras", STEPS, table)
    latent, mask = torch.ones(2, 4, 8, 8, device=META), torch.ones(2, 1, 8, 8, device=META)
    masked = MaskedDenoiser(denoiser(plan, rescale=0.7), latent, mask, plan.table, latent)
    steps_without_waiting("euler", masked, plan)


def test_a_unet_with_a_controlnet_and_a_changing_prompt_does_not_wait(
    unet: UNet2DConditionModel, table: NoiseTable
) -> None:
    plan = schedule("karras", 2, table)
    network = with_text_keys(copy.deepcopy(unet).to(META))
    with META:
        controlnet = with_text_keys(ControlNetModel.from_unet(unet, load_weights_from_unet=False))
    width = unet.config.cross_attention_dim
    control = Control("0", "", "", torch.rand(1, 3, 32, 32), 0.7)  # resized to the latents
    changing = Timeline((0.5,), (), 1, (0, 1))
    prompt = PromptPart((torch.zeros(1, 77, width), torch.ones(1, 154, width)), changing, controls=(control,))
    model = Denoiser(
        network,
        plan,
        "v_prediction",
        [prompt],
        uncond=torch.zeros(1, 77, width),
        guidance=4.0,
        guided=(0.0, 0.5),
        controlnets={"0": controlnet},
    )
    steps_without_waiting("euler", model, plan)


@pytest.mark.parametrize("family", ["sdxl", "sd3", "flux"])
def test_other_families_do_not_wait(family: str) -> None:
    made = small_model(family)
    described = family_named(family)
    network: Any = made.networks[described.network.component].to(META)
    flow = isinstance(described.noise, Flow)
    table = FlowTable(described.noise) if isinstance(described.noise, Flow) else NoiseTable(described.noise)
    plan = schedule("simple", 2, table)
    width = getattr(network.config, described.network.context)
    pooled = getattr(network.config, "pooled_projection_dim", 24)
    part = PromptPart((torch.zeros(1, 77, width),), pooled=(torch.zeros(1, pooled),))
    model = Denoiser(
        network,
        plan,
        "flow" if flow else "epsilon",
        [part],
        uncond=[part],
        guidance=4.0,
        size_numbers=described.size_numbers,
        network=described.network,
    )
    x = torch.ones(1, described.network.channels(network.config.in_channels, None)[0], 8, 8, device=META)
    steps = sample("euler", model, x, plan.sigmas, table=table)
    with no_waiting():
        assert sum(1 for _ in islice(steps, 2)) == 2
