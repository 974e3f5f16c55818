"""ComfyUI's SamplerCustom nodes: the nodes that choose sampler, noise levels, noise and guidance become one
Denoise.

Our Denoise has these settings itself. The small nodes (`SETTING_NODES`) are therefore left out of the graph,
unless a node without a counterpart needs them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from engine.document.graph import Entry
from nodes.interchange.comfyui.conversion import ComfyConversion
from nodes.interchange.comfyui.graph_data import ComfyNode
from nodes.interchange.comfyui.node_type import NodeType, one_of
from nodes.interchange.comfyui.sampling_nodes import (
    MAX_STEPS,
    guidance,
    named_sampler,
    named_schedule,
    seed,
    steps_and_strength,
)
from nodes.interchange.graph_from_settings import entry
from nodes.sampling.denoise import Denoise
from nodes.sd.sampling.names import DISCARDS_PENULTIMATE

SIGMA_RANGE = (14.614642, 0.0291675)
"""The noise levels of SD 1, SD 2 and SDXL, highest and lowest: the defaults of ComfyUI's schedulers. Denoise
takes them from the model."""
TURBO_STEPS = 10
"""The steps of SDTurboScheduler at `denoise` 1."""
MAX_SPLITS = 64
Convert = Callable[[ComfyConversion, ComfyNode], dict[str, Any]]
Fits = Callable[[ComfyConversion, ComfyNode], bool]


class _Steps(NamedTuple):
    """A range of the steps of a scheduler node."""

    scheduler: ComfyNode
    first: int = 0
    end: int | None = None
    """The step before which the part ends; None for the last step."""
    keeps_noise: bool = False
    """Whether the noise of the level at `end` is left in the picture."""


class _Setting(NamedTuple):
    """How a node that chooses settings is converted to inputs of Denoise."""

    convert: Convert
    fits: Fits = lambda made, node: True


def _sampler(name: str, **inputs: str) -> Convert:
    """Make the conversion of a sampler node; `inputs` are its settings, as `ours="theirs"`."""

    def convert(made: ComfyConversion, node: ComfyNode) -> dict[str, Any]:
        on_gpu = made.value(node, "noise_device") == "gpu"
        settings = {ours: made.bind(node, theirs) for ours, theirs in inputs.items()}
        return {"sampler": name, "noise": "comfyui_gpu" if on_gpu else "comfyui", **settings}

    return convert


_NOISY = {"eta": "eta", "noise_scale": "s_noise"}


def _dpmpp_2m_sde(made: ComfyConversion, node: ComfyNode) -> dict[str, Any]:
    heun = made.value(node, "solver_type") == "heun"
    return _sampler("dpmpp_2m_sde_heun" if heun else "dpmpp_2m_sde", **_NOISY)(made, node)


_SAMPLERS = {
    "KSamplerSelect": _Setting(named_sampler),
    "SamplerDPMPP_2M_SDE": _Setting(_dpmpp_2m_sde, one_of("solver_type", "midpoint", "heun")),
    "SamplerDPMPP_2S_Ancestral": _Setting(_sampler("dpmpp_2s_ancestral", **_NOISY)),
    "SamplerDPMPP_3M_SDE": _Setting(_sampler("dpmpp_3m_sde", **_NOISY)),
    "SamplerDPMPP_SDE": _Setting(_sampler("dpmpp_sde", **_NOISY), one_of("r", 0.5)),
    "SamplerEulerAncestral": _Setting(_sampler("euler_ancestral", **_NOISY)),
    "SamplerLMS": _Setting(_sampler("lms"), one_of("order", 4)),
}


def _basic(made: ComfyConversion, node: ComfyNode) -> dict[str, Any]:
    return {"schedule": named_schedule(made, node), **steps_and_strength(made, node)}


def _between_fixed_levels(schedule: str, rho: float | None = None) -> Convert:
    def convert(made: ComfyConversion, node: ComfyNode) -> dict[str, Any]:
        given = made.bind(node, "rho") if made.value(node, "rho") != rho else None
        return {"schedule": schedule, "rho": given, "steps": made.bind(node, "steps")}

    return convert


def _has_the_usual_levels(made: ComfyConversion, node: ComfyNode) -> bool:
    given = (made.value(node, "sigma_max"), made.value(node, "sigma_min"))
    return all(
        isinstance(level, int | float) and math.isclose(level, usual, rel_tol=1e-3)
        for level, usual in zip(given, SIGMA_RANGE, strict=True)
    )


def _has_the_usual_shape(made: ComfyConversion, node: ComfyNode) -> bool:
    return (made.value(node, "alpha"), made.value(node, "beta")) == (0.6, 0.6)


def _turbo(made: ComfyConversion, node: ComfyNode) -> dict[str, Any]:
    return {"schedule": "sd_turbo", "steps": TURBO_STEPS}


_SCHEDULERS = {
    "BasicScheduler": _Setting(_basic),
    "BetaSamplingScheduler": _Setting(_between_fixed_levels("beta"), _has_the_usual_shape),
    "ExponentialScheduler": _Setting(_between_fixed_levels("exponential"), _has_the_usual_levels),
    "KarrasScheduler": _Setting(_between_fixed_levels("karras", 7.0), _has_the_usual_levels),
    "PolyexponentialScheduler": _Setting(
        _between_fixed_levels("polyexponential", 1.0), _has_the_usual_levels
    ),
    "SDTurboScheduler": _Setting(_turbo),
}
_SPLITTERS = ("SplitSigmas", "SplitSigmasDenoise")
_NOISES = ("RandomNoise", "DisableNoise")
_GUIDERS = ("CFGGuider", "BasicGuider")
SETTING_NODES = frozenset({*_SAMPLERS, *_SCHEDULERS, *_SPLITTERS, *_NOISES, *_GUIDERS})
"""The nodes whose settings become inputs of Denoise."""


def _chosen(made: ComfyConversion, node: ComfyNode, input: str, known: Iterable[str]) -> ComfyNode | None:
    """Return the node wired into an input; None if it is of another type, muted or bypassed."""
    found = made.source(node, input)
    if found is None or found[0].type not in known or found[0].mode:
        return None
    return found[0]


def _setting(
    made: ComfyConversion, node: ComfyNode, input: str, known: dict[str, _Setting]
) -> ComfyNode | None:
    found = _chosen(made, node, input, known)
    return found if found is not None and known[found.type].fits(made, found) else None


def _steps(made: ComfyConversion, node: ComfyNode, depth: int = 0) -> _Steps | None:
    """Find the steps that the input `sigmas` of a node receives, past nodes that split them.

    None if they are not known before the run.
    """
    if (scheduler := _setting(made, node, "sigmas", _SCHEDULERS)) is not None:
        count = made.value(scheduler, "steps")
        if scheduler.type != "SDTurboScheduler":
            return _Steps(scheduler)
        share = made.value(scheduler, "denoise")
        if type(count) is not int or not isinstance(share, int | float) or not 0 <= share <= 1 or count < 1:
            return None
        first = TURBO_STEPS - int(TURBO_STEPS * share)
        return _Steps(scheduler, first, min(first + count, TURBO_STEPS)) if first < TURBO_STEPS else None
    found = made.source(node, "sigmas")
    if found is None or found[0].type not in _SPLITTERS or found[0].mode or depth > MAX_SPLITS:
        return None
    splitter, slot = found
    whole = _steps(made, splitter, depth + 1)
    if whole is None:
        return None
    at = _split_at(made, splitter, whole)
    if at is None or at <= whole.first or (whole.end is not None and at >= whole.end):
        return None
    return whole._replace(end=at, keeps_noise=True) if slot == 0 else whole._replace(first=at)


def _split_at(made: ComfyConversion, splitter: ComfyNode, whole: _Steps) -> int | None:
    """Return the step at which a node splits a range of steps, counted from the scheduler's first step."""
    if splitter.type == "SplitSigmas":
        step = made.value(splitter, "step")
        return whole.first + step if type(step) is int else None
    count, share = made.value(whole.scheduler, "steps"), made.value(splitter, "denoise")
    end = count if whole.end is None else whole.end
    if type(end) is not int or not isinstance(share, int | float) or not 0 <= share <= 1:
        return None
    return end - round((end - whole.first) * share)


def _part(made: ComfyConversion, part: _Steps) -> dict[str, Any]:
    """Return the inputs of Denoise for a range of the steps of a scheduler."""
    inputs = _SCHEDULERS[part.scheduler.type].convert(made, part.scheduler)
    end = part.end
    if inputs["schedule"] == "sd_turbo" and part.first == 0 and not part.keeps_noise:
        inputs["steps"], end = end, None  # the first levels, which are those of a shorter schedule
    elif end == TURBO_STEPS == inputs["steps"]:
        end = None
    return {
        **inputs,
        "start_step": part.first or None,
        "end_step": end,
        "keep_noise": True if part.keeps_noise else None,
    }


def _custom(made: ComfyConversion, node: ComfyNode) -> Entry:
    noise = {
        "seed": seed(made, node, "noise_seed"),
        "add_noise": False if made.value(node, "add_noise") is False else None,
    }
    return _denoise(made, node, guidance(made, node), noise)


def _custom_advanced(made: ComfyConversion, node: ComfyNode) -> Entry:
    noises, guider = _chosen(made, node, "noise", _NOISES), _chosen(made, node, "guider", _GUIDERS)
    assert noises is not None
    assert guider is not None
    random = noises.type == "RandomNoise"
    noise = {"seed": seed(made, noises, "noise_seed")} if random else {"add_noise": False}
    inputs: dict[str, Any] = guidance(made, guider)
    if guider.type == "BasicGuider":
        prompt = made.bind(guider, "conditioning")
        inputs |= {"positive": prompt, "negative": prompt, "guidance": 1.0}
    return _denoise(made, node, inputs, noise)


def _denoise(made: ComfyConversion, node: ComfyNode, inputs: dict[str, Any], noise: dict[str, Any]) -> Entry:
    chosen, part = _chosen(made, node, "sampler", _SAMPLERS), _steps(made, node)
    assert chosen is not None
    assert part is not None
    sampler = _SAMPLERS[chosen.type].convert(made, chosen)
    return entry(
        Denoise,
        **inputs,
        latent=made.bind(node, "latent_image"),
        **noise,
        **sampler,
        **_part(made, part),
        # ComfyUI's schedulers keep the penultimate noise level for every sampler.
        discard_penultimate=False if sampler["sampler"] in DISCARDS_PENULTIMATE else None,
        follow="comfyui",
    )


def _is_known(made: ComfyConversion, node: ComfyNode) -> bool:
    """Return whether a SamplerCustom can become a Denoise.

    Its sampler and noise levels must have counterparts, and its second output must be unused or as the first.
    """
    part = _steps(made, node)
    if part is None or _setting(made, node, "sampler", _SAMPLERS) is None:
        return False
    count = made.value(part.scheduler, "steps")
    if count is not None and not (type(count) is int and 1 <= count <= MAX_STEPS):
        return False
    return not (part.keeps_noise and made.is_wired(node, 1))


def _is_known_advanced(made: ComfyConversion, node: ComfyNode) -> bool:
    noise, guider = _chosen(made, node, "noise", _NOISES), _chosen(made, node, "guider", _GUIDERS)
    return noise is not None and guider is not None and _is_known(made, node)


_OUTPUTS = ("latent", "latent")
"""The second output of the sampler nodes is the picture without the noise that is left; none is left where
they are converted."""

CUSTOM_SAMPLING_NODE_TYPES = {
    "SamplerCustom": NodeType("denoise", _custom, _OUTPUTS, _is_known),
    "SamplerCustomAdvanced": NodeType("denoise", _custom_advanced, _OUTPUTS, _is_known_advanced),
}
"""ComfyUI's nodes that sample with settings from other nodes."""
