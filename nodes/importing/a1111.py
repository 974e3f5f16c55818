"""Pictures and texts of A1111 and its kin (Forge, SD.Next, Civitai, Safelight): `parameters`."""

from __future__ import annotations

import re
from typing import Any

from engine import foreign as foreigners
from engine.errors import GraphError
from engine.files import Files
from engine.foreign import Foreign, Imported
from engine.widgets import SEED_MAX
from nodes.importing import infotext
from nodes.importing.infotext import Infotext
from nodes.importing.names import A1111_AUTOMATIC, A1111_SAMPLERS, A1111_SCHEDULES
from nodes.importing.notes import Notes
from nodes.importing.recipe import AskedLora, Recipe, side
from nodes.importing.shelf import Shelf
from nodes.sd.prompts import tags
from nodes.sd.prompts.excerpt import Excerpt, PromptError

CHUNK = "parameters"
DIALECTS = ("a1111", "comfy", "compel", "plain")
"""What Safelight says of prompts that are not A1111's, in a field of its own."""

_SAMPLERS = {other.casefold(): ours for ours, other in A1111_SAMPLERS.items()}
_SCHEDULES = {other.casefold().replace(" ", ""): ours for ours, other in A1111_SCHEDULES.items()}
_SCHEDULES |= {"uniform": "normal"}
_EMPHASIS = {"original": "original", "no norm": "no_norm", "ignore": "ignore"}
_VERSION = re.compile(r"v?1\.([0-9]{1,3})\b")
_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")

SILENT = frozenset(
    {
        "Version",
        "User",
        "App",
        "Parser",
        "Backend",
        "Operations",
        "Pipeline",
        "Batch size",
        "Batch pos",
        "Created Date",
        "Comment",
        "VAE hash",
        "Init image hash",
        "Prompt",
        "Negative prompt",
        "Hashes",
        "Civitai resources",
        "Civitai metadata",
        "Lora hashes",
        "TI hashes",
        "Pad conds",
        "Discard penultimate sigma",
    }
)
"""Fields that change nothing in the picture, or whose sense other fields say too."""


def read(foreign: Foreign, tree: Any, files: Files) -> Imported | None:
    """The graph of a text; None if it is not A1111's.

    Args:
        foreign: the file.
        tree: its JSON, which its text never is.
        files: where names are looked up.

    Raises:
        GraphError: it is too long.
    """
    text = foreign.chunks.get(CHUNK, foreign.text)
    if text is None or tree is not None or text.lstrip()[:1] in ("{", "["):
        return None
    said = infotext.parse(text)
    if "Steps" not in said.fields:
        return None
    notes = Notes()
    origin = "A1111's parameters"
    if (version := said.fields.get("Version", "")).startswith("Safelight"):
        origin = "the parameters that Safelight writes"
    elif version[:1] == "f":
        origin = "Forge's parameters"
    elif said.fields.get("App", "") == "SD.Next":
        origin = "SD.Next's parameters"
    return _recipe(said, notes).imported(Shelf(files, notes), notes, origin, foreign.name)


def _recipe(said: Infotext, notes: Notes) -> Recipe:
    fields = dict(said.fields)
    recipe = Recipe(said.prompt, said.negative)
    recipe.steps = notes.whole("Steps", fields.pop("Steps", None), 1, 999)
    recipe.sampler, recipe.schedule = _sampler(fields, notes)
    recipe.guidance = notes.number("CFG scale", fields.pop("CFG scale", None), 0, 30)
    recipe.rescale = notes.number("CFG Rescale phi", fields.pop("CFG Rescale phi", None), 0, 1)
    recipe.seed = notes.whole("Seed", fields.pop("Seed", None), 0, SEED_MAX)
    recipe.width, recipe.height = _size(fields.pop("Size", None), notes)
    recipe.clip_skip = notes.whole("Clip skip", fields.pop("Clip skip", None), 1, 12)
    recipe.model = fields.pop("Model", "")
    recipe.model_hash = fields.pop("Model hash", None)
    _emphasis(recipe, fields.pop("Emphasis", "Original"), notes)
    if (dialect := fields.pop("Dialect", "a1111")) in DIALECTS:
        recipe.dialect = dialect
    _tagged(recipe, fields, notes)
    if (hypernet := fields.pop("Hypernet", None)) is not None:
        strength = notes.number("Hypernet strength", fields.pop("Hypernet strength", None), -10, 10)
        recipe.hypernetworks.append((hypernet, 1.0 if strength is None else strength))
    _civitai(recipe, fields, notes)
    strength = notes.number("Denoising strength", fields.pop("Denoising strength", None), 0, 1)
    hires = [name for name in fields if name.startswith("Hires")]
    if hires:
        told = ", ".join(f"{name} {fields.pop(name)}" for name in hires)
        told += "" if strength is None else f", Denoising strength {strength:g}"
        notes.left_out("Hires fix", told, "the picture is drawn at its first size")
    else:
        recipe.strength = strength
    if fields.pop("RNG", "GPU") != "CPU":
        notes.say("other_noise", "RNG: its noise was a GPU's and ours is A1111's of the CPU: another picture")
    for name, value in fields.items():
        if name not in SILENT:
            notes.left_out(name, value)
    return recipe


def _sampler(fields: dict[str, str], notes: Notes) -> tuple[str | None, str | None]:
    """Sampler and schedule; older names carry the schedule: `DPM++ 2M Karras`."""
    name = fields.pop("Sampler", None)
    said = fields.pop("Schedule type", None)
    sampler = None
    if name is not None:
        plain = " ".join(name.split()).casefold()
        sampler = _SAMPLERS.get(plain)
        if sampler is None:
            for suffix in ("karras", "exponential", "sgm uniform", "sgmuniform", "uniform"):
                sampler = sampler or _SAMPLERS.get(plain.removesuffix(f" {suffix}"))
                if plain.endswith(f" {suffix}") and said is None:
                    said = suffix
        if sampler is None:
            notes.left_out("Sampler", name, "there is no such sampler here; dpmpp_2m is used")
    if said is None and sampler is not None:
        version = _VERSION.match(fields.get("Version", ""))
        # Before 1.9 there was no such field, and a name alone meant evenly spaced steps.
        said = "Uniform" if version and int(version[1]) < 9 and sampler != "ddim" else "Automatic"
    if said is None:
        return sampler, None
    if said.strip().casefold() == "automatic":
        return sampler, A1111_AUTOMATIC.get(sampler or "", "normal")
    schedule = _SCHEDULES.get(said.casefold().replace(" ", ""))
    if schedule is None:
        notes.left_out("Schedule type", said, "there is no such schedule here; karras is used")
    return sampler, schedule


def _size(said: str | None, notes: Notes) -> tuple[int | None, int | None]:
    """Width and height of a `512x768`."""
    match = _SIZE.fullmatch("" if said is None else said.strip())
    if match is None:
        if said is not None:
            notes.left_out("Size", said, "it is no width and height; 512x512 is used")
        return None, None
    return side(notes, "Size", match[1]), side(notes, "Size", match[2])


def _emphasis(recipe: Recipe, said: str, notes: Notes) -> None:
    emphasis = _EMPHASIS.get(said.casefold())
    if emphasis is None:
        notes.left_out("Emphasis", said, "weights in the prompt act as usual")
    elif emphasis != "original":
        recipe.emphasis = emphasis


def _tagged(recipe: Recipe, fields: dict[str, str], notes: Notes) -> None:
    """Take the tags out of the prompt, where alone they act."""
    hashed = infotext.hashes(fields.get("Lora hashes", ""))
    recipe.embeddings = infotext.hashes(fields.get("TI hashes", ""))
    try:
        rest, found, remarks = tags.cut(Excerpt(recipe.prompt))
    except PromptError as error:
        notes.left_out("the prompt's tags", None, str(error))
        return
    recipe.prompt = rest.text.strip() if found else rest.text
    for remark in remarks:
        notes.say("left_out", str(remark))
    for tag in found:
        weights = [notes.number(str(tag), weight, -10, 10) for weight in (tag.unet, tag.text)]
        if tag.kind == "hypernet":
            recipe.hypernetworks.append((tag.name, weights[0] or 0.0))
        else:
            ranks = tag.rank if tag.rank is not None and tag.rank >= 1 else None
            recipe.loras.append(
                AskedLora(tag.name, weights[0] or 0.0, weights[1] or 0.0, ranks, hashed.get(tag.name))
            )


def _civitai(recipe: Recipe, fields: dict[str, str], notes: Notes) -> None:
    """What Civitai says beside: the hashes of files by their sha256, and the versions of its own pages."""
    hashes = _json(fields.get("Hashes"))
    if isinstance(hashes, dict):
        texts = {name: hash.lower() for name, hash in hashes.items() if isinstance(hash, str)}
        recipe.model_hash = recipe.model_hash or texts.get("model")
        for name, hash in texts.items():
            kind, _, own = name.partition(":")
            if kind == "embed" and own:
                recipe.embeddings.setdefault(own, hash)
        for asked in recipe.loras:
            asked.hash = asked.hash or texts.get(f"lora:{asked.name}")
    resources = _json(fields.get("Civitai resources"))
    for resource in resources[:100] if isinstance(resources, list) else ():
        if not isinstance(resource, dict):
            continue
        kind, name = resource.get("type"), str(resource.get("modelName") or "")
        if kind == "checkpoint":
            recipe.model = recipe.model or name
        elif kind in ("lora", "lycoris", "locon") and not any(one.name == name for one in recipe.loras):
            weight = notes.number(f"Civitai resource {name}", resource.get("weight", 1.0), -10, 10)
            if name and len(recipe.loras) < 100:
                recipe.loras.append(AskedLora(name, 1.0 if weight is None else weight))
        elif kind != "lora":
            notes.left_out("Civitai resource", f"{kind} {name}")


def _json(text: str | None) -> Any:
    try:
        return None if text is None else foreigners.parse(text)
    except GraphError:
        return None
