"""What a written picture says of how it was made, in the words that A1111 and many other tools read."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from importlib.metadata import version

from engine.registry import Made

SAMPLERS = {  # what A1111 calls each of ours
    "euler": "Euler",
    "euler_ancestral": "Euler a",
    "heun": "Heun",
    "dpm2": "DPM2",
    "lms": "LMS",
    "ddim": "DDIM",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_sde": "DPM++ SDE",
    "dpmpp_2s_ancestral": "DPM++ 2S a",
}
SCHEDULES = {
    "normal": "Normal",
    "karras": "Karras",
    "exponential": "Exponential",
    "kl_optimal": "KL Optimal",
    "align_your_steps": "Align Your Steps",
    "simple": "Simple",
    "sgm_uniform": "SGM Uniform",
    "ddim_uniform": "DDIM",
}


def annotate(steps: Mapping[str, Made], target: str, index: int) -> dict[str, str]:
    """The `parameters` text of a picture, as A1111 writes it; empty if nothing was denoised to make it.

    Args:
        steps: the steps behind the picture, by id.
        target: the step that made it.
        index: its place in the batch, which its seed counts on from.
    """
    found = next((made for made in _upstream(steps, target) if made.node_type == "Denoise"), None)
    if found is None:
        return {}
    said = found.inputs
    seed = said.get("seed")
    fields = {
        "Steps": said.get("steps"),
        "Sampler": SAMPLERS.get(str(said.get("sampler"))),
        "Schedule type": SCHEDULES.get(str(said.get("schedule"))),
        "CFG scale": _short(said.get("guidance")),
        "Seed": seed + index if isinstance(seed, int) else None,
        "Size": _size(steps, found),
        "Model": _literal(steps, found, "model", "LoadModel", "model"),
        "Denoising strength": _short(said.get("strength")) if said.get("strength") != 1 else None,
        "Clip skip": _clip_skip(steps, found),
        "RNG": "CPU",
        "Version": f"Safelight {version('safelight')}",
    }
    lines = [str(_literal(steps, found, "positive", "EncodePrompt", "prompt") or "")]
    if negative := _literal(steps, found, "negative", "EncodePrompt", "prompt"):
        lines.append(f"Negative prompt: {negative}")
    lines.append(", ".join(f"{key}: {_quoted(value)}" for key, value in fields.items() if value is not None))
    return {"parameters": "\n".join(lines)}


def _upstream(steps: Mapping[str, Made], start: str) -> Iterator[Made]:
    """The steps behind one, nearest first, itself included."""
    seen = {start}
    queue = deque([start])
    while queue:
        made = steps.get(queue.popleft())
        if made is None:
            continue
        yield made
        for parent in made.links.values():
            if parent not in seen:
                seen.add(parent)
                queue.append(parent)


def _literal(steps: Mapping[str, Made], made: Made, input: str, node_type: str, name: str) -> object:
    """An input of the nearest step of a type behind one of the inputs of `made`."""
    if input not in made.links:
        return None
    behind = _upstream(steps, made.links[input])
    return next((item.inputs.get(name) for item in behind if item.node_type == node_type), None)


def _size(steps: Mapping[str, Made], made: Made) -> str | None:
    if "latent" not in made.links:
        return None
    for item in _upstream(steps, made.links["latent"]):
        if item.node_type in ("EmptyLatent", "ResizeImage"):
            return f"{item.inputs.get('width')}x{item.inputs.get('height')}"
    return None


def _clip_skip(steps: Mapping[str, Made], made: Made) -> object:
    skip = _literal(steps, made, "positive", "EncodePrompt", "clip_skip")
    return skip if skip != 1 else None


def _short(number: object) -> object:
    """7 for 7.0: A1111 writes whole numbers without a point."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ',:\n"') else text
