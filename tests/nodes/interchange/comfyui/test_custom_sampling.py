"""ComfyUI's SamplerCustom nodes: the Denoise that replaces them has the noise levels of their schedulers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from engine.document.graph import Graph
from nodes.interchange.comfyui.custom_sampling import SETTING_NODES
from nodes.interchange.comfyui.widget_values import WIDGETS
from nodes.sd.sampling.noise_table import NoiseTable
from nodes.sd.sampling.schedules import schedule
from tests.nodes.interchange.comfyui.test_latent_nodes import LATENT, LOADER, text
from tests.nodes.interchange.other_tools import checked, imported, values

TABLE = NoiseTable()
KARRAS = {"steps": 12, "sigma_max": 14.614642, "sigma_min": 0.0291675, "rho": 7.0}
EULER = {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}}
CUSTOM = {
    **{"model": ["1", 0], "add_noise": True, "noise_seed": 5, "cfg": 3.0, "positive": ["2", 0]},
    **{"negative": ["3", 0], "sampler": ["5", 0], "latent_image": ["4", 0]},
}


def workflow(scheduler: str, inputs: dict[str, Any], sampler: dict[str, Any] = EULER) -> dict[str, Any]:
    """A workflow with a SamplerCustom, node 8, and the scheduler, node 6."""
    return {
        **{"1": LOADER, "2": text("a red circle"), "3": text(""), "4": LATENT, "5": sampler},
        "6": {"class_type": scheduler, "inputs": inputs},
        "8": {"class_type": "SamplerCustom", "inputs": {**CUSTOM, "sigmas": ["6", 0]}},
        "9": {"class_type": "VAEDecode", "inputs": {"samples": ["8", 0], "vae": ["1", 2]}},
        "10": {"class_type": "SaveImage", "inputs": {"images": ["9", 0], "filename_prefix": "x"}},
    }


def denoise(api: dict[str, Any], node: str = "denoise-8") -> dict[str, Any]:
    """The inputs of the Denoise that an import makes; checks that the graph is complete without the rest."""
    graph = imported(api).graph
    assert not [entry.type for entry in graph.nodes.values() if entry.type.startswith("comfy/")]
    assert checked(graph, model="safelight-tiny").ok
    return values(graph, node)


def planned(inputs: dict[str, Any]) -> np.ndarray:
    """The noise levels that Denoise computes of its inputs."""
    plan = schedule(
        inputs["schedule"],
        inputs["steps"],
        TABLE,
        rho=inputs.get("rho"),
        discard_penultimate=inputs.get("discard_penultimate", False),
    ).for_strength(inputs.get("strength", 1.0))
    part = plan.between(
        inputs.get("start_step", 0), inputs.get("end_step"), keep_noise=inputs.get("keep_noise", False)
    )
    return part.sigmas.numpy()


def turbo_levels(steps: int, share: float) -> np.ndarray:
    """ComfyUI's SDTurboScheduler."""
    begin = 10 - int(10 * share)
    timesteps = torch.flip(torch.arange(1, 11) * 100 - 1, (0,))[begin : begin + steps]
    return np.append(TABLE.sigmas[timesteps.numpy()], 0)


@pytest.mark.parametrize(
    ("steps", "share"), [(1, 1.0), (4, 1.0), (10, 1.0), (20, 1.0), (3, 0.5), (5, 0.5), (9, 0.3)]
)
def test_the_levels_of_turbo_models(steps: int, share: float) -> None:
    inputs = denoise(workflow("SDTurboScheduler", {"model": ["1", 0], "steps": steps, "denoise": share}))
    np.testing.assert_allclose(planned(inputs), turbo_levels(steps, share), rtol=1e-5)
    if share == 1:
        assert inputs["steps"] == min(steps, 10)


@pytest.mark.parametrize(("name", "rho"), [("KarrasScheduler", 7.0), ("KarrasScheduler", 5.0)])
def test_the_levels_of_karras(name: str, rho: float) -> None:
    inputs = denoise(workflow(name, {**KARRAS, "rho": rho}))
    ramp = np.linspace(0, 1, 12)
    low, high = KARRAS["sigma_min"] ** (1 / rho), KARRAS["sigma_max"] ** (1 / rho)
    np.testing.assert_allclose(planned(inputs), np.append((high + ramp * (low - high)) ** rho, 0), rtol=1e-4)


def test_the_penultimate_level_stays() -> None:
    """BasicScheduler knows no sampler, so nothing is left out for DPM2, as KSampler does."""
    dpm2 = {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "dpm_2"}}
    basic = {"model": ["1", 0], "scheduler": "simple", "steps": 10, "denoise": 0.5}
    inputs = denoise(workflow("BasicScheduler", basic, dpm2))
    assert inputs["sampler"] == "dpm2"
    levels = [TABLE.sigmas[-(1 + int(step * 50))] for step in range(20)]
    np.testing.assert_allclose(planned(inputs), [*levels[-10:], 0], rtol=1e-5)


def split(step: int | None = None, share: float = 0.25) -> dict[str, Any]:
    """Two SamplerCustom in a row, the second at the lower part of the first's levels."""
    api = workflow("KarrasScheduler", KARRAS)
    if step is None:
        inputs: dict[str, Any] = {"sigmas": ["6", 0], "denoise": share}
        api["7"] = {"class_type": "SplitSigmasDenoise", "inputs": inputs}
    else:
        api["7"] = {"class_type": "SplitSigmas", "inputs": {"sigmas": ["6", 0], "step": step}}
    first = {**CUSTOM, "sigmas": ["7", 0]}
    second = {**CUSTOM, "sigmas": ["7", 1], "latent_image": ["12", 0], "add_noise": False}
    api["12"] = {"class_type": "SamplerCustom", "inputs": first}
    api["8"] = {"class_type": "SamplerCustom", "inputs": second}
    return api


@pytest.mark.parametrize(("step", "share"), [(4, 0.0), (None, 0.25), (None, 0.7)])
def test_split_levels_meet_where_they_are_split(step: int | None, share: float) -> None:
    api = split(step, share)
    whole = planned(denoise(workflow("KarrasScheduler", KARRAS)))
    high, low = planned(denoise(api, "denoise-12")), planned(denoise(api, "denoise-8"))
    at = step or 12 - round(12 * share)
    np.testing.assert_array_equal(high, whole[: at + 1])
    np.testing.assert_array_equal(low, whole[at:])
    assert denoise(api)["add_noise"] is False


def test_settings_come_from_the_nodes_before() -> None:
    sampler = {"class_type": "SamplerEulerAncestral", "inputs": {"eta": 0.5, "s_noise": 1.1}}
    assert denoise(workflow("KarrasScheduler", KARRAS, sampler)) == {
        **{"model": "model-1.model", "positive": "prompt-2.out", "negative": "prompt-3.out"},
        **{"latent": "canvas-4.out", "seed": 5, "guidance": 3.0, "sampler": "euler_ancestral", "eta": 0.5},
        **{"noise_scale": 1.1, "noise": "comfyui", "schedule": "karras", "steps": 12, "follow": "comfyui"},
    }
    sde = {"solver_type": "heun", "eta": 1.0, "s_noise": 1.0, "noise_device": "gpu"}
    inputs = denoise(
        workflow("KarrasScheduler", KARRAS, {"class_type": "SamplerDPMPP_2M_SDE", "inputs": sde})
    )
    assert (inputs["sampler"], inputs["noise"]) == ("dpmpp_2m_sde_heun", "comfyui_gpu")


@pytest.mark.parametrize("guider", ["CFGGuider", "BasicGuider"])
def test_noise_and_guidance_from_nodes_of_their_own(guider: str) -> None:
    api = workflow("KarrasScheduler", KARRAS)
    prompts = {"positive": ["2", 0], "negative": ["3", 0], "cfg": 3.5}
    inputs = prompts if guider == "CFGGuider" else {"conditioning": ["2", 0]}
    api["20"] = {"class_type": guider, "inputs": {"model": ["1", 0], **inputs}}
    api["21"] = {"class_type": "RandomNoise", "inputs": {"noise_seed": 2**60}}
    wires = {"noise": ["21", 0], "guider": ["20", 0], "sampler": ["5", 0], "sigmas": ["6", 0]}
    api["8"] = {"class_type": "SamplerCustomAdvanced", "inputs": {**wires, "latent_image": ["4", 0]}}
    found = denoise(api)
    guided = guider == "CFGGuider"
    assert found["negative"] == ("prompt-3.out" if guided else "prompt-2.out")
    assert found["guidance"] == (3.5 if guided else 1.0)
    assert found["seed"] == 2**60 % 2**53
    api["21"] = {"class_type": "DisableNoise", "inputs": {}}
    assert denoise(api)["add_noise"] is False


def kept(graph: Graph) -> set[str]:
    return {entry.type.removeprefix("comfy/") for entry in graph.nodes.values() if "comfy/" in entry.type}


@pytest.mark.parametrize(
    ("scheduler", "changed"),
    [
        ("KarrasScheduler", {"sigma_max": 80.0}),
        ("KarrasScheduler", {"sigma_min": math.inf}),
        ("VPScheduler", {}),
        ("SplitSigmas", {"sigmas": ["6", 1], "step": 3}),
    ],
)
def test_levels_without_a_counterpart_leave_all_nodes(scheduler: str, changed: dict[str, Any]) -> None:
    graph = imported(workflow(scheduler, {**KARRAS, **changed})).graph
    assert kept(graph) == {"SamplerCustom", "KSamplerSelect", scheduler}


def test_the_clean_picture_of_a_noisy_result_has_no_counterpart() -> None:
    api = split(4)
    api["8"]["inputs"]["latent_image"] = ["12", 1]
    assert kept(imported(api).graph) == {"SamplerCustom", "KSamplerSelect", "SplitSigmas", "KarrasScheduler"}


def test_a_wire_from_a_node_that_is_left_out_is_left_out() -> None:
    api = workflow("KarrasScheduler", KARRAS)
    api["4"] = {"class_type": "EmptyLatentImage", "inputs": {"width": ["5", 0], "height": 64}}
    assert values(imported(api).graph, "canvas-4") == {"height": 64}


def test_the_editor_s_values_have_names() -> None:
    assert SETTING_NODES - WIDGETS.keys() == {"BasicGuider", "DisableNoise"}
