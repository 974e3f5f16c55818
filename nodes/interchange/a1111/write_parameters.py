"""Writes the `parameters` text of a picture, which A1111 and many other tools read."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import Any

from pydantic import ValidationError

from engine.packs.provenance import Provenance
from nodes.files.embedding_files import EmbeddingFile
from nodes.files.file_names import stem
from nodes.files.patch_files import LORAS
from nodes.hooks.graph_walk import Steps, along, nearest, upstream
from nodes.interchange.a1111.parse_parameters import name_in_hashes
from nodes.interchange.a1111.sampling_fields import CFG_PP_SCALE
from nodes.interchange.sampler_names import a1111_sampler_name, a1111_schedule_name
from nodes.model.lora import ApplyLoRA, Choice
from nodes.sd.prompts import tags
from nodes.sd.prompts.excerpt import Excerpt, PromptError
from nodes.sd.prompts.tags import Tag

EMPHASIS = {"no_norm": "No norm", "ignore": "Ignore"}
_RNG = {"cpu": "CPU", "nv": "NV", "comfyui": "ComfyUI", "comfyui_gpu": "ComfyUI GPU"}
HIRES_UPSCALERS = {"bilinear": "Latent", "bicubic": "Latent (bicubic)", "nearest": "Latent (nearest-exact)"}
"""A1111's upscaler for each method of ours that it has."""
SHORT_HASH = 12
"""The number of digits of a hash in `Lora hashes` and `TI hashes`."""


def annotate(steps: Steps, target: str, index: int) -> dict[str, str]:
    """Write the `parameters` text of a picture; empty if no Denoise node contributed to it.

    LoRAs become tags of the prompt, as in A1111. `Model hash` is the beginning of the sha256 of a single-file
    model. For a model in several files, it is the beginning of the digest of all of them, since other tools
    cannot hash such a model. A merge has none, and its `Model` names what was merged.

    Args:
        steps: the steps that lead to the picture, by id.
        target: the step that made the picture.
        index: the picture's place in its batch, which is added to the seed.
    """
    denoise = next((step for step in upstream(steps, target) if step.node_type == "Denoise"), None)
    if denoise is None:
        return {}
    hires: dict[str, object] = {}
    if (first := nearest(steps, denoise, "latent", "Denoise")) is not None:
        hires = _hires_fields(steps, first, denoise)
        denoise = first if hires else denoise
    positive = nearest(steps, denoise, "positive", "EncodePrompt")
    negative = nearest(steps, denoise, "negative", "EncodePrompt")
    guided = nearest(steps, denoise, "positive", "SetDistilledGuidance")
    model = _metadata(steps, denoise, "model")
    inputs = denoise.inputs
    seed, varied = _seeds(inputs, index)
    prompt_inputs: Mapping[str, Any] = positive.inputs if positive is not None else {}
    fields = {
        "Steps": inputs.get("steps"),
        "Sampler": a1111_sampler_name(str(inputs.get("sampler"))),
        "Schedule type": a1111_schedule_name(str(inputs.get("schedule"))),
        "CFG scale": _short_number(_guidance(inputs)),
        "Distilled CFG Scale": _short_number(guided.inputs.get("guidance") if guided is not None else None),
        "Seed": seed,
        "Variation seed": varied,
        "Variation seed strength": _short_number(_unless(inputs.get("variation"), 0)),
        "Size": _size(steps, denoise),
        "Model hash": str(model["digest"])[:10] if "digest" in model and "merge" not in model else None,
        "Model": _merge_name(model) or _model_name(steps, denoise),
        "Denoising strength": _short_number(_unless(inputs.get("strength"), 1)),
        **hires,
        "Clip skip": _unless(prompt_inputs.get("clip_skip"), 1),
        "RNG": _RNG.get(str(inputs.get("noise", "cpu"))),
        "ENSD": _unless(inputs.get("later_seed_shift"), 0),
        "Schedule rho": _short_number(inputs.get("rho")),
        "Eta": _short_number(inputs.get("eta")),
        "Sigma churn": _short_number(_unless(inputs.get("churn"), 0)),
        "Sigma tmin": _short_number(_unless(inputs.get("churn_low"), 0)),
        "Sigma tmax": _short_number(_unless(inputs.get("churn_high"), 5000)),
        "Sigma noise": _short_number(_unless(inputs.get("noise_scale"), 1)),
        "Discard penultimate sigma": inputs.get("discard_penultimate"),
        "CFG Rescale phi": _short_number(_unless(inputs.get("rescale"), 0)),
        "TI hashes": _hash_list(_embedding_hashes(steps, (positive, negative))),
        "Lora hashes": _hash_list(_lora_hashes(steps, denoise, positive)),
        "Emphasis": EMPHASIS.get(str(prompt_inputs.get("emphasis"))),
        "Follow": _unless(inputs.get("follow"), "a1111"),
        "Dialect": _unless(prompt_inputs.get("dialect"), "a1111"),
        "Version": f"Safelight {version('safelight')}",
    }
    added_tags = " ".join(map(str, _applied_tags(steps, denoise)))
    lines = [" ".join(filter(None, (_prompt_text(steps, positive), added_tags)))]
    if negative_prompt := _prompt_text(steps, negative):
        lines.append(f"Negative prompt: {negative_prompt}")
    lines.append(", ".join(f"{key}: {_quoted(value)}" for key, value in fields.items() if value is not None))
    return {"parameters": "\n".join(lines)}


def _seeds(inputs: Mapping[str, Any], index: int) -> tuple[int | None, int | None]:
    """Return the seed and the variation seed of one picture of a batch, by the rule of `NoiseSource`."""
    seed, varied = inputs.get("seed"), inputs.get("variation_seed", 0)
    if not isinstance(seed, int):
        return None, None
    if inputs.get("variation") and isinstance(varied, int):
        return seed, varied + index
    one_seed = str(inputs.get("noise", "")).startswith("comfyui")
    return seed if one_seed else seed + index, None


def _model_name(steps: Steps, denoise: Provenance) -> str | None:
    loaded = nearest(steps, denoise, "model", "LoadModel")
    name = None if loaded is None else loaded.inputs.get("model")
    return PurePosixPath(name).name if isinstance(name, str) else None


def _merge_name(model: Mapping[str, Any]) -> str | None:
    """Describe a merge by its models and weights, as the name of the model; None for a single model."""
    terms = [
        f"{term['recipe']['name']} {'by blocks' if term['blocks'] else format(term['weight'], 'g')}"
        for term in model.get("merge", ())
    ]
    return f"merge of {' and '.join(terms)}" if terms else None


def _metadata(steps: Steps, step: Provenance, input: str) -> dict[str, Any]:
    """Return the JSON metadata of the value that is wired into an input; empty if unknown."""
    source = steps.get(step.links.get(input, ""))
    if source is None:
        return {}
    metadata = source.meta.get(input, source.meta.get("out"))
    return metadata if isinstance(metadata, dict) else {}


def _prompt_text(steps: Steps, encode: Provenance | None) -> str:
    """Return a prompt without its tags; `annotate` adds tags for the LoRAs that were applied."""
    if encode is None:
        return ""
    text = encode.inputs.get("prompt")
    if text is None and "prompt" in encode.links:
        sources = upstream(steps, encode.links["prompt"])
        text = next((step.inputs.get("prompt") for step in sources if step.inputs), "")
    try:
        rest, found, _ = tags.cut(Excerpt(str(text or "")))
    except PromptError:
        return str(text or "")
    return rest.text.strip() if found else str(text or "")


def _hypernetwork_tags(step: Provenance) -> list[Tag]:
    """Return the tag of an ApplyHypernetwork's file; empty for a hypernetwork that was made in the graph."""
    inputs: Mapping[str, Any] = step.inputs
    name = str(inputs.get("hypernetwork") or "")
    if not name or "trained" in step.links:
        return []
    strength = float(inputs.get("strength") or 0)
    return [Tag("hypernet", stem(name), strength, strength)]


def _applied_tags(steps: Steps, denoise: Provenance) -> list[Tag]:
    """Return tags for the LoRAs and hypernetworks that were applied to the model, in order."""
    applied: list[Tag] = []
    for id in along(steps, denoise, "model"):
        step = steps[id]
        if step.node_type == "ApplyLoRA":
            applied[:0] = map(_lora_tag, _choices(step))
        elif step.node_type == "ApplyHypernetwork":
            applied[:0] = _hypernetwork_tags(step)
        elif step.node_type == "ApplyTags":
            try:
                applied[:0] = tags.cut(Excerpt(str(step.inputs.get("prompt") or "")))[1]
            except PromptError:
                pass  # such a step fails, so it has no effect
    return applied


def _choices(apply_lora: Provenance) -> list[Choice]:
    """Return the LoRAs of an ApplyLoRA step that have an effect."""
    inputs: Mapping[str, Any] = apply_lora.inputs
    names = ("lora", "weight", "encoder_weight", "blocks", "on", "more")
    try:
        return ApplyLoRA.model_construct(**{name: inputs[name] for name in names if name in inputs}).choices
    except ValidationError:
        return []


def _lora_tag(choice: Choice) -> Tag:
    text = choice.weight if choice.encoder_weight is None else choice.encoder_weight
    return Tag("lora", stem(choice.lora), choice.weight, text, choice.ranks, choice.blocks.strip())


def _lora_hashes(steps: Steps, denoise: Provenance, positive: Provenance | None) -> dict[str, str]:
    """Return A1111's hash of each LoRA in the model or the prompt's text encoder, by file name."""
    encoder = _metadata(steps, positive, "encoder") if positive is not None else {}
    patches = [*_metadata(steps, denoise, "model").get("patches", ()), *encoder.get("patches", ())]
    return {
        stem(patch["name"]): patch["a1111_hash"][:SHORT_HASH]
        for patch in patches
        if patch["kind"] == LORAS and patch["a1111_hash"]
    }


def _embedding_hashes(steps: Steps, encoded: Iterable[Provenance | None]) -> dict[str, str]:
    """Return the first digits of the sha256 of each embedding in the prompts, by name."""
    hashes: dict[str, str] = {}
    for encode in encoded:
        tokens = encode.meta.get("tokens") if encode is not None else None
        if encode is None or not isinstance(tokens, list):
            continue
        triggers = {
            str(token["trigger"]) for token in tokens if isinstance(token, dict) and token.get("trigger")
        }
        embeddings = _metadata(steps, encode, "encoder").get("embeddings", {})
        for file in embeddings.get("files", ()) if triggers else ():
            label = EmbeddingFile(**file).label
            if any(trigger == label or trigger.startswith(f"{label}: ") for trigger in triggers):
                hashes[stem(label)] = file["digest"][:SHORT_HASH]
    return hashes


def _hash_list(hashes: Mapping[str, str]) -> str | None:
    """Format hashes in A1111's style: `ink: 0123456789ab, red: …`; None if there are none."""
    named = {name_in_hashes(name): hash for name, hash in hashes.items()}
    return ", ".join(f"{name}: {hash}" for name, hash in named.items()) or None


def _size(steps: Steps, denoise: Provenance) -> str | None:
    if "latent" not in denoise.links:
        return None
    for step in upstream(steps, denoise.links["latent"]):
        if step.node_type in ("EmptyLatent", "ResizeImage"):
            sides = step.inputs.get("width"), step.inputs.get("height")
            return None if None in sides else f"{sides[0]}x{sides[1]}"
    return None


def _hires_fields(steps: Steps, first: Provenance, second: Provenance) -> dict[str, object]:
    """Return the Hires fields for a second Denoise over the result of the first; empty for the same size.

    A1111 plans `int(steps / strength)` steps and runs the last `steps` of them. The strength is written so
    that this gives the steps that were run.
    """
    enlarging = ("ScaleLatent", "ResizeLatent", "ResizeImage", "ScaleImage")
    between = itertools.takewhile(lambda step: step is not first, upstream(steps, second.links["latent"]))
    larger = next((step for step in between if step.node_type in enlarging), None)
    planned, strength = second.inputs.get("steps"), second.inputs.get("strength")
    if larger is None or not isinstance(planned, int) or not isinstance(strength, int | float):
        return {}
    sides = larger.inputs.get("width"), larger.inputs.get("height")
    kept = int(min(strength, 0.999) * planned) + 1
    share = round(kept / planned, 4)
    same = int(kept / min(share, 0.999)) == planned
    method = str(larger.inputs.get("method"))
    latent = larger.node_type.endswith("Latent")
    changed = {
        "Hires CFG Scale": _short_number(_guidance(second.inputs)),
        "Hires sampler": a1111_sampler_name(str(second.inputs.get("sampler"))),
        "Hires schedule type": a1111_schedule_name(str(second.inputs.get("schedule"))),
    }
    usual = {
        "Hires CFG Scale": _short_number(_guidance(first.inputs)),
        "Hires sampler": a1111_sampler_name(str(first.inputs.get("sampler"))),
        "Hires schedule type": a1111_schedule_name(str(first.inputs.get("schedule"))),
    }
    return {
        "Denoising strength": share if same else round(kept / (planned + 0.5), 6),
        "Hires upscale": _short_number(larger.inputs.get("factor")),
        "Hires resize": None if None in sides else f"{sides[0]}x{sides[1]}",
        "Hires steps": kept,
        "Hires upscaler": HIRES_UPSCALERS.get(method, "Latent") if latent else "Lanczos",
        **{name: _unless(value, usual[name]) for name, value in changed.items()},
    }


def _guidance(inputs: Mapping[str, Any]) -> object:
    """Return the CFG scale for the text; that of A1111's CFG++ sampler is multiplied, as A1111 divides it."""
    guidance = inputs.get("guidance")
    if inputs.get("sampler") == "ddim_cfg_pp" and isinstance(guidance, int | float):
        return round(guidance * CFG_PP_SCALE, 6)
    return guidance


def _unless(value: object, default: object) -> object:
    return None if value == default else value


def _short_number(number: object) -> object:
    """Convert 7.0 to 7, because A1111 writes whole numbers without a decimal point."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ',:\n"') else text
