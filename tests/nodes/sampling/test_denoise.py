"""Denoise: parts of a run, noise of other tools, and settings of samplers, on the embedded model."""

from __future__ import annotations

import json
from typing import Any

import diffusers
import pytest
import torch

from engine.document.reader import parse
from engine.events import Event
from engine.run.report import Report
from engine.session import Session
from nodes.sampling.denoise import Denoise
from nodes.sd.sampling.names import SamplerName
from nodes.sd.sampling.noise_table import NoiseTable
from nodes.sd.sampling.philox import PhiloxGenerator
from nodes.sd.sampling.schedules import schedule
from tests.nodes.conftest import output, warnings

STEPS = 6


def graph(*runs: dict[str, Any], size: int = 64) -> Any:
    """A graph of Denoise nodes one after another, each from the latent of the one before."""
    nodes: dict[str, Any] = {
        "model": {"type": "LoadModel", "inputs": {"model": "safelight-tiny"}},
        "positive": {
            "type": "EncodePrompt",
            "inputs": {"encoder": {"from": "model.encoder"}, "prompt": "a red circle"},
        },
        "negative": {
            "type": "EncodePrompt",
            "inputs": {"encoder": {"from": "model.encoder"}, "prompt": ""},
        },
        "canvas": {"type": "EmptyLatent", "inputs": {"width": size, "height": size}},
    }
    latent = "canvas.out"
    for number, settings in enumerate(runs):
        inputs = {name: {"from": f"{name}.out"} for name in ("positive", "negative")}
        nodes[f"denoise-{number}"] = {
            "type": "Denoise",
            "inputs": {
                "model": {"from": "model.model"},
                **inputs,
                "latent": {"from": latent},
                "seed": 5,
                "steps": STEPS,
                "guidance": 3.0,
                **settings,
            },
        }
        latent = f"denoise-{number}.latent"
    outputs = {"latent": {"from": latent}, "sigmas": {"from": latent.replace(".latent", ".sigmas")}}
    return parse(json.dumps({"safelight": 1, "nodes": nodes, "outputs": outputs}))


def sigmas(report: Report) -> list[float]:
    """The noise levels of a run."""
    found: list[float] = report.outputs["sigmas"].meta  # type: ignore[assignment]
    return found


def warned(session: Session, *runs: dict[str, Any]) -> list[str]:
    """The warnings of a run."""
    events: list[Event] = []
    assert session.run(graph(*runs), emit=events.append).state == "done"
    return warnings(events)


def samples(session: Session, *runs: dict[str, Any]) -> torch.Tensor:
    found: torch.Tensor = output(session.run(graph(*runs)), "latent").samples
    return found


@pytest.mark.parametrize(
    ("sampler", "kind"),
    [("ddim", diffusers.DDIMScheduler), ("euler", diffusers.EulerDiscreteScheduler)],
)
def test_the_leading_timesteps_of_diffusers_give_its_latents(
    session: Session, pipeline: Any, sampler: SamplerName, kind: Any
) -> None:
    """As InvokeAI runs them: "leading" timesteps start below the highest level, with a variance of 1."""
    theirs = pipeline(kind, timestep_spacing="leading", steps_offset=1, clip_sample=False)(
        "a red circle",
        num_inference_steps=STEPS,
        guidance_scale=3.0,
        height=64,
        width=64,
        generator=torch.Generator().manual_seed(5),
        output_type="latent",
    ).images
    ours = samples(session, {"sampler": sampler, "schedule": "ddim_diffusers"})
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2s_ancestral"])
def test_two_parts_of_a_run_are_the_whole_run(session: Session, sampler: SamplerName) -> None:
    settings: dict[str, Any] = {"sampler": sampler, "schedule": "normal"}
    if sampler == "dpmpp_2s_ancestral":
        settings["eta"] = 0.0
    whole = samples(session, settings)
    first = {**settings, "end_step": 2, "keep_noise": True}
    second = {**settings, "start_step": 2, "add_noise": False}
    torch.testing.assert_close(samples(session, first, second), whole, rtol=0, atol=1e-5)
    assert sigmas(session.run(graph(first)))[-1] > 0
    assert sigmas(session.run(graph({**settings, "end_step": 2})))[-1] == 0, "all noise is removed"


def test_a_later_start_adds_the_noise_of_its_level(session: Session) -> None:
    report = session.run(graph({"start_step": 2, "sampler": "euler", "schedule": "karras"}))
    expected = schedule("karras", STEPS, NoiseTable()).sigmas[2:].tolist()
    assert sigmas(report) == expected


def test_the_noise_of_a_gpu_starts_the_picture(session: Session) -> None:
    """One step of a sampler that ends after it shows the noise that it began with."""
    one = {"sampler": "euler", "schedule": "karras", "end_step": 1, "keep_noise": True}
    plan = schedule("karras", STEPS, NoiseTable()).sigmas
    drawn = PhiloxGenerator(5).randn((4, 8, 8))
    found = samples(session, {**one, "noise": "nv"})[0]
    assert float((found / plan[1] - drawn).abs().max()) < 0.35
    assert float((samples(session, {**one, "noise": "cpu"})[0] / plan[1] - drawn).abs().max()) > 2


def test_comfyui_starts_on_the_cpu_and_goes_on_with_a_gpu(session: Session) -> None:
    plain = {"sampler": "euler", "schedule": "karras"}
    assert torch.equal(
        samples(session, {**plain, "noise": "comfyui"}), samples(session, {**plain, "noise": "cpu"})
    )
    noisy = {"sampler": "euler_ancestral", "schedule": "karras"}
    comfy, cpu, nv = (samples(session, {**noisy, "noise": kind}) for kind in ("comfyui", "cpu", "nv"))
    assert not torch.equal(comfy, cpu)
    assert not torch.equal(comfy, nv)


def test_following_comfyui_moves_the_picture_a_little(session: Session) -> None:
    settings = {"sampler": "euler", "schedule": "karras"}
    ours, theirs = samples(session, settings), samples(session, {**settings, "follow": "comfyui"})
    assert 0 < float((ours - theirs).abs().mean()) < 0.05


def test_settings_without_effect_are_named(session: Session) -> None:
    messages = "\n".join(warned(session, {"sampler": "euler", "eta": 0.5, "keep_noise": True}))
    assert "eta" in messages
    assert "keep_noise" in messages


def test_high_guidance_of_cfg_pp_gives_a_warning(session: Session) -> None:
    messages = warned(session, {"sampler": "euler_cfg_pp", "guidance": 7.0})
    assert any("euler_cfg_pp" in message for message in messages)
    assert not warned(session, {"sampler": "euler_cfg_pp", "guidance": 0.5})


def test_an_empty_step_range_is_an_error(session: Session) -> None:
    report = session.run(graph({"start_step": 4, "end_step": 4}))
    assert report.nodes["denoise-0"].state == "failed"


@pytest.mark.parametrize("sampler", ["dpm_adaptive", "dpm_fast", "restart", "uni_pc", "er_sde", "seeds_3"])
def test_samplers_of_every_kind_run_on_a_model(session: Session, sampler: SamplerName) -> None:
    found = samples(session, {"sampler": sampler, "schedule": "karras"})
    assert torch.isfinite(found).all()
    assert 0.1 < float(found.std()) < 3


def test_dpm2_leaves_out_the_last_level_but_one_since_version_2(session: Session) -> None:
    longer = schedule("normal", STEPS + 1, NoiseTable()).sigmas.tolist()
    report = session.run(graph({"sampler": "dpm2", "schedule": "normal"}))
    assert sigmas(report) == [*longer[:-2], 0.0]
    kept = session.run(graph({"sampler": "dpm2", "schedule": "normal", "discard_penultimate": False}))
    assert sigmas(kept) == schedule("normal", STEPS, NoiseTable()).sigmas.tolist()
    assert Denoise.upgrade({"sampler": "dpm2"}, 1) == {"sampler": "dpm2", "discard_penultimate": False}
    assert Denoise.upgrade({"sampler": "dpm2"}, 2) == {"sampler": "dpm2"}
    assert Denoise.upgrade({"sampler": "euler"}, 1) == {"sampler": "euler"}
