"""What a written picture says of how it was made, in the words that A1111 and many other tools read."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import Any

from pydantic import ValidationError

from engine.registry import Made
from nodes.importing.names import A1111_SAMPLERS, A1111_SCHEDULES
from nodes.lora import ApplyLoRA, Choice
from nodes.sd.prompts import tags
from nodes.sd.prompts.excerpt import Excerpt, PromptError
from nodes.sd.prompts.tags import Tag

EMPHASIS = {"no_norm": "No norm", "ignore": "Ignore"}


def annotate(steps: Mapping[str, Made], target: str, index: int) -> dict[str, str]:
    """The `parameters` text of a picture, as A1111 writes it; empty if nothing was denoised to make it.

    LoRAs become tags of the prompt, as A1111 has them. A model in several files has no hash that another tool
    knows; `Model hash` is then the first of the digest over all of them. `Lora hashes` and `TI hashes` begin
    the sha256 of whole files.

    Args:
        steps: the steps behind the picture, by id.
        target: the step that made it.
        index: its place in the batch, which its seed counts on from.
    """
    found = next((made for made in _upstream(steps, target) if made.node_type == "Denoise"), None)
    if found is None:
        return {}
    positive = _nearest(steps, found, "positive", "EncodePrompt")
    negative = _nearest(steps, found, "negative", "EncodePrompt")
    model = _plain(steps, found, "model")
    said = found.inputs
    seed = said.get("seed")
    spoken: Mapping[str, Any] = positive.inputs if positive is not None else {}
    fields = {
        "Steps": said.get("steps"),
        "Sampler": A1111_SAMPLERS.get(str(said.get("sampler"))),
        "Schedule type": A1111_SCHEDULES.get(str(said.get("schedule"))),
        "CFG scale": _short(said.get("guidance")),
        "Seed": seed + index if isinstance(seed, int) else None,
        "Size": _size(steps, found),
        "Model hash": str(model["digest"])[:10] if "digest" in model else None,
        "Model": _model_name(steps, found),
        "Denoising strength": _short(said.get("strength")) if said.get("strength") != 1 else None,
        "Clip skip": _unless(spoken.get("clip_skip"), 1),
        "RNG": "CPU",
        "CFG Rescale phi": _short(_unless(said.get("rescale"), 0)),
        "TI hashes": _listed(_embeddings(steps, (positive, negative))),
        "Lora hashes": _listed(_lora_hashes(model.get("patches", ()))),
        "Emphasis": EMPHASIS.get(str(spoken.get("emphasis"))),
        "Dialect": _unless(spoken.get("dialect"), "a1111"),
        "Version": f"Safelight {version('safelight')}",
    }
    asked = " ".join(map(_tag_text, _applied(steps, found)))
    lines = [" ".join(filter(None, (_prompt(steps, positive), asked)))]
    if left := _prompt(steps, negative):
        lines.append(f"Negative prompt: {left}")
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


def _nearest(steps: Mapping[str, Made], made: Made, input: str, node_type: str) -> Made | None:
    """The nearest step of a type behind one of the inputs of `made`."""
    if input not in made.links:
        return None
    return next((item for item in _upstream(steps, made.links[input]) if item.node_type == node_type), None)


def _model_name(steps: Mapping[str, Made], made: Made) -> str | None:
    loaded = _nearest(steps, made, "model", "LoadModel")
    name = None if loaded is None else loaded.inputs.get("model")
    return PurePosixPath(name).name if isinstance(name, str) else None


def _plain(steps: Mapping[str, Made], made: Made, input: str) -> dict[str, Any]:
    """The plain part of what one of the inputs of `made` was given; empty if it is not known."""
    behind = steps.get(made.links.get(input, ""))
    if behind is None:
        return {}
    found = behind.meta.get(input, behind.meta.get("out"))
    return found if isinstance(found, dict) else {}


def _prompt(steps: Mapping[str, Made], encoded: Made | None) -> str:
    """A prompt without its tags, which are written anew from what was applied."""
    if encoded is None:
        return ""
    text = encoded.inputs.get("prompt")
    if text is None and "prompt" in encoded.links:
        text = next(
            (item.inputs.get("prompt") for item in _upstream(steps, encoded.links["prompt"]) if item.inputs),
            "",
        )
    try:
        rest, found, _ = tags.cut(Excerpt(str(text or "")))
    except PromptError:
        return str(text or "")
    return rest.text.strip() if found else str(text or "")


def _applied(steps: Mapping[str, Made], denoise: Made) -> list[Tag]:
    """What was applied to the model, the first one first."""
    found: list[Tag] = []
    behind = steps.get(denoise.links.get("model", ""))
    while behind is not None:
        inputs: Mapping[str, Any] = behind.inputs
        if behind.node_type == "ApplyLoRA":
            found[:0] = map(_lora_tag, _choices(behind))
        elif behind.node_type == "ApplyHypernetwork" and inputs.get("hypernetwork"):
            stem = PurePosixPath(str(inputs["hypernetwork"])).stem
            strength = float(inputs.get("strength") or 0)
            found[:0] = [Tag("hypernet", stem, strength, strength)]
        elif behind.node_type == "ApplyTags":
            try:
                found[:0] = tags.cut(Excerpt(str(inputs.get("prompt") or "")))[1]
            except PromptError:
                pass  # it could not have been applied
        behind = steps.get(behind.links.get("model", ""))
    return found


def _choices(made: Made) -> list[Choice]:
    inputs: Mapping[str, Any] = made.inputs
    known = {
        name: inputs[name] for name in ("lora", "weight", "encoder_weight", "on", "more") if name in inputs
    }
    try:
        return ApplyLoRA.model_construct(**known).choices
    except ValidationError:
        return []


def _lora_tag(choice: Choice) -> Tag:
    text = choice.weight if choice.encoder_weight is None else choice.encoder_weight
    return Tag("lora", PurePosixPath(choice.lora).stem, choice.weight, text, choice.ranks)


def _tag_text(tag: Tag) -> str:
    if tag.rank is not None:
        return f"<{tag.kind}:{tag.name}:{tag.text:g}:{tag.unet:g}:{tag.rank}>"
    return str(tag)


def _lora_hashes(patches: Iterable[Any]) -> dict[str, str]:
    sources = [patch["lora"]["source"] for patch in patches if "lora" in patch]
    return {PurePosixPath(source["name"]).stem: source["digest"][:12] for source in sources}


def _embeddings(steps: Mapping[str, Made], encoded: Iterable[Made | None]) -> dict[str, str]:
    """The embeddings that stand in the prompts, with the first of the digests of their files."""
    found: dict[str, str] = {}
    for made in encoded:
        tokens = made.meta.get("tokens") if made is not None else None
        if made is None or not isinstance(tokens, list):
            continue
        used = {str(place["trigger"]) for place in tokens if isinstance(place, dict) and place.get("trigger")}
        kept = _plain(steps, made, "encoder").get("embeddings", {})
        for file in kept.get("files", ()) if used else ():
            label = file["name"] or PurePosixPath(file["given"]).name
            if any(name == label or name.startswith(f"{label}: ") for name in used):
                found[PurePosixPath(label).stem] = file["digest"][:12]
    return found


def _listed(hashes: Mapping[str, str]) -> str | None:
    plain = {name.replace(":", "").replace(",", ""): hash for name, hash in hashes.items()}
    return ", ".join(f"{name}: {hash}" for name, hash in plain.items()) or None


def _size(steps: Mapping[str, Made], made: Made) -> str | None:
    if "latent" not in made.links:
        return None
    for item in _upstream(steps, made.links["latent"]):
        if item.node_type in ("EmptyLatent", "ResizeImage"):
            sides = item.inputs.get("width"), item.inputs.get("height")
            return None if None in sides else f"{sides[0]}x{sides[1]}"
    return None


def _unless(value: object, usual: object) -> object:
    return None if value == usual else value


def _short(number: object) -> object:
    """7 for 7.0: A1111 writes whole numbers without a point."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ',:\n"') else text
