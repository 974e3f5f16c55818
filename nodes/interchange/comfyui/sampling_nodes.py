"""ComfyUI's KSamplers, and how each becomes a Denoise node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.document.graph import Binding, Entry, Literal
from engine.widgets import SEED_MAX
from nodes.interchange.comfyui.conversion import ComfyConversion
from nodes.interchange.comfyui.graph_data import ComfyNode
from nodes.interchange.comfyui.node_type import NodeType
from nodes.interchange.graph_from_settings import entry
from nodes.interchange.sampler_names import COMFY_GPU_NOISE, COMFY_SAMPLERS, COMFY_SCHEDULES
from nodes.sampling.denoise import Denoise

MAX_STEPS = 999


def _ksampler(made: ComfyConversion, node: ComfyNode) -> Entry:
    return _denoise(made, node, "seed", steps_and_strength(made, node))


def _advanced(made: ComfyConversion, node: ComfyNode) -> Entry:
    steps, begin, end = (made.value(node, name) for name in ("steps", "start_at_step", "end_at_step"))
    part = {
        "steps": made.bind(node, "steps"),
        "start_step": begin or None,
        "end_step": end if end < steps else None,
        "add_noise": None if made.value(node, "add_noise") == "enable" else False,
        "keep_noise": True if made.value(node, "return_with_leftover_noise") == "enable" else None,
    }
    return _denoise(made, node, "noise_seed", part)


def _has_steps(made: ComfyConversion, node: ComfyNode) -> bool:
    """Return whether a KSamplerAdvanced has steps to run, and settings that are known before the run."""
    steps, begin, end = (made.value(node, name) for name in ("steps", "start_at_step", "end_at_step"))
    switches = [made.value(node, name) for name in ("add_noise", "return_with_leftover_noise")]
    numbers = all(type(number) is int for number in (steps, begin, end))
    known = numbers and all(switch in ("enable", "disable") for switch in switches)
    return known and 1 <= steps <= MAX_STEPS and 0 <= begin < min(steps, end)


def _denoise(made: ComfyConversion, node: ComfyNode, seed_name: str, part: Mapping[str, Any]) -> Entry:
    sampler = named_sampler(made, node)
    # A1111 leaves out the penultimate level for this sampler; ComfyUI does not.
    keeps_penultimate = sampler["sampler"] == "dpmpp_3m_sde"
    return entry(
        Denoise,
        **guidance(made, node),
        latent=made.bind(node, "latent_image"),
        seed=seed(made, node, seed_name),
        **sampler,
        schedule=named_schedule(made, node),
        **part,
        discard_penultimate=False if keeps_penultimate else None,
        follow="comfyui",
    )


def guidance(made: ComfyConversion, node: ComfyNode) -> dict[str, Binding | None]:
    """Return the inputs of Denoise for the model, the prompts and the guidance of a node."""
    return {
        "model": made.bind(node, "model"),
        "positive": made.bind(node, "positive"),
        "negative": made.bind(node, "negative"),
        "guidance": made.bind(node, "cfg"),
    }


def seed(made: ComfyConversion, node: ComfyNode, name: str) -> Binding | None:
    """Return the seed of a node. ComfyUI's have 64 bits, ours 53: a larger one is reduced, with a warning."""
    given = made.bind(node, name)
    if isinstance(given, Literal) and type(given.value) is int and given.value > SEED_MAX:
        message = f"the seed {given.value} is larger than {SEED_MAX}, the largest seed; another one is used"
        made.problems.warn("other_seed", message)
        return Literal(given.value % (SEED_MAX + 1))
    return given


def named_sampler(made: ComfyConversion, node: ComfyNode) -> dict[str, Any]:
    """Return the inputs of Denoise for the `sampler_name` of a node."""
    on_gpu = made.text(node, "sampler_name").endswith(COMFY_GPU_NOISE)
    return {
        "sampler": _translated(made, node, "sampler_name", COMFY_SAMPLERS, "dpmpp_2m"),
        "noise": "comfyui_gpu" if on_gpu else "comfyui",
    }


def named_schedule(made: ComfyConversion, node: ComfyNode) -> Any:
    """Return our schedule for the `scheduler` of a node."""
    return _translated(made, node, "scheduler", COMFY_SCHEDULES, "karras")


def _translated(
    made: ComfyConversion, node: ComfyNode, name: str, names: Mapping[str, str], default: str
) -> Any:
    given = made.bind(node, name)
    if not isinstance(given, Literal):
        return given
    return made.problems.translated(name, given.value, names, default)


def steps_and_strength(made: ComfyConversion, node: ComfyNode) -> dict[str, Any]:
    """Return the inputs of Denoise for the `steps` and the `denoise` of a node.

    ComfyUI plans `steps / denoise` steps and runs the last `steps` of them.
    """
    steps, strength = made.bind(node, "steps"), made.bind(node, "denoise")
    if not (isinstance(steps, Literal) and isinstance(strength, Literal)):
        return {"steps": steps, "strength": strength}
    count, share = steps.value, made.problems.number("denoise", strength.value, 0, 1)
    if share is None or share >= 1 or type(count) is not int or count < 1:
        return {"steps": count}
    planned = int(count / share) if share > 0.001 else 0
    if not 1 <= planned <= MAX_STEPS:
        made.problems.left_out("denoise", share, "the schedule would have more than 999 steps")
        return {"steps": count, "strength": share}
    if planned > count:
        message = (
            f"ComfyUI runs the last {count} of {planned} steps at denoise {share:g}, so `steps` is {planned}"
            " here, and `strength` is set so that the same steps run"
        )
        made.problems.warn("other_steps", message)
    # Denoise then runs the last `count` of the steps; see `Schedule.for_strength`.
    return {"steps": planned, "strength": round((count - 0.5) / planned, 6)}


SAMPLING_NODE_TYPES = {
    "KSampler": NodeType("denoise", _ksampler, ("latent",)),
    "KSamplerAdvanced": NodeType("denoise", _advanced, ("latent",), _has_steps),
}
"""ComfyUI's nodes that sample with all their settings in one node."""
