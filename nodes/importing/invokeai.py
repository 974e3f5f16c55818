"""Pictures of InvokeAI: `invokeai_metadata` since version 3, `sd-metadata` and `Dream` before."""

from __future__ import annotations

import shlex
from collections import deque
from typing import Any

from engine import foreign as foreigners
from engine.errors import GraphError
from engine.files import Files
from engine.foreign import Foreign, Imported
from engine.widgets import SEED_MAX
from nodes.importing import invokeai_workflow
from nodes.importing.invokeai_workflow import named
from nodes.importing.names import INVOKE_SCHEDULERS
from nodes.importing.notes import Notes, label
from nodes.importing.recipe import AskedLora, Recipe, side
from nodes.importing.shelf import Shelf

METADATA = "invokeai_metadata"
OLDER, OLDEST = "sd-metadata", "Dream"
WORKFLOWS = ("invokeai_workflow", "invokeai_graph")
LONGEST = 1 << 16
"""Characters of a `Dream` line."""

NO_COUNTERPART = (
    "vae",
    "controlnets",
    "ipAdapters",
    "t2iAdapters",
    "control_layers",
    "regions",
    "hrf_enabled",
    "refiner_model",
    "positive_style_prompt",
    "negative_style_prompt",
    "seamless_x",
    "seamless_y",
    "threshold",
    "perlin",
    "hires_fix",
    "variations",
    "postprocessing",
    "facetool",
    "upscale",
)
"""What changes a picture when it holds anything."""
_DREAM = {
    "s": "steps",
    "S": "seed",
    "W": "width",
    "H": "height",
    "C": "cfg_scale",
    "A": "sampler",
    "f": "strength",
    "I": "init_image",
}


def read(foreign: Foreign, tree: Any, files: Files) -> Imported | None:
    """The graph of a picture or a workflow; None if it is not InvokeAI's.

    Raises:
        GraphError: what it says of how it was made is damaged or too large.
    """
    if invokeai_workflow.is_one(tree):
        return invokeai_workflow.imported(tree, foreign.name, "InvokeAI's workflow", files)
    notes = Notes()
    metadata = _json(foreign, METADATA)
    if isinstance(metadata, dict) and isinstance(metadata.get("positive_prompt"), str):
        recipe = _recipe(metadata, notes)
        return recipe.imported(Shelf(files, notes), notes, "InvokeAI's metadata", foreign.name)
    for chunk in WORKFLOWS:
        workflow = _json(foreign, chunk)
        if invokeai_workflow.is_one(workflow):
            return invokeai_workflow.imported(workflow, foreign.name, "the workflow of InvokeAI", files)
    older = _json(foreign, OLDER)
    if isinstance(older, dict) and isinstance(older.get("image"), dict):
        recipe = _older(older, notes)
        return recipe.imported(Shelf(files, notes), notes, "InvokeAI's older metadata", foreign.name)
    dream = foreign.chunks.get(OLDEST)
    if dream is not None and (said := _dreamt(dream)) is not None:
        recipe = _older({"image": said}, notes)
        return recipe.imported(Shelf(files, notes), notes, "InvokeAI's Dream", foreign.name)
    return None


def _json(foreign: Foreign, chunk: str) -> Any:
    text = foreign.chunks.get(chunk)
    if text is None:
        return None
    try:
        return foreigners.parse(text)
    except GraphError:
        if len(foreign.chunks) == 1:
            raise
        return None  # another chunk may say it


def _recipe(said: dict[str, Any], notes: Notes) -> Recipe:
    recipe = Recipe(said["positive_prompt"], _text(said.get("negative_prompt")), "compel")
    recipe.steps = notes.whole("steps", said.get("steps"), 1, 999)
    recipe.seed = notes.whole("seed", said.get("seed"), 0, SEED_MAX)
    recipe.guidance = notes.number("cfg_scale", said.get("cfg_scale"), 0, 30)
    recipe.rescale = notes.number("cfg_rescale_multiplier", said.get("cfg_rescale_multiplier"), 0, 1) or None
    recipe.width, recipe.height = (side(notes, name, said.get(name)) for name in ("width", "height"))
    _scheduled(recipe, "scheduler", said.get("scheduler"), notes)
    skipped = notes.whole("clip_skip", said.get("clip_skip"), 0, 11)
    recipe.clip_skip = skipped + 1 if skipped else None
    recipe.model, recipe.model_hash = named(said.get("model"))
    loras = said.get("loras")
    for item in loras[:100] if isinstance(loras, list) else ():
        if isinstance(item, dict):
            name, hash = named(item.get("model", item.get("lora")))
            weight = notes.number(f"the LoRA {name}", item.get("weight", 0.75), -10, 10)
            recipe.loras.append(AskedLora(name, 0.0 if weight is None else weight, hash=hash))
    if "img2img" in str(said.get("generation_mode")) or said.get("init_image"):
        recipe.strength = notes.number("strength", said.get("strength", 0.75), 0, 1)
        recipe.picture = _text(said.get("init_image"))
    if str(said.get("rand_device", "cpu")) != "cpu":
        notes.say("other_noise", "rand_device: its noise was a GPU's and ours is the CPU's: another picture")
    _left_out(said, notes)
    return recipe


def _older(said: dict[str, Any], notes: Notes) -> Recipe:
    image = said["image"]
    given = image.get("prompt")
    if isinstance(given, list):
        if len(given) > 1:
            notes.left_out("prompt", None, "of several prompts with weights the first is taken")
        given = given[0].get("prompt") if given and isinstance(given[0], dict) else ""
    recipe = Recipe(*_bracketed(_text(given)), dialect="compel")
    recipe.steps = notes.whole("steps", image.get("steps"), 1, 999)
    recipe.seed = notes.whole("seed", image.get("seed"), 0, SEED_MAX)
    recipe.guidance = notes.number("cfg_scale", image.get("cfg_scale"), 0, 30)
    recipe.width, recipe.height = (side(notes, name, image.get(name)) for name in ("width", "height"))
    _scheduled(recipe, "sampler", image.get("sampler"), notes)
    recipe.model = label(said.get("model_weights"))
    if image.get("type") == "img2img" or image.get("init_image"):
        recipe.strength = notes.number("strength", image.get("strength", 0.75), 0, 1)
        recipe.picture = _text(image.get("init_image"))
    _left_out(image, notes)
    return recipe


def _dreamt(line: str) -> dict[str, Any] | None:
    """What a line such as `"a cat" -s50 -S 1 -W512 -H512 -C7.5 -A k_lms` says; None if it is none."""
    if len(line) > LONGEST:
        return None
    try:
        words = deque(shlex.split(line))
    except ValueError:
        return None
    said: dict[str, Any] = {}
    prompt: list[str] = []
    while words:
        word = words.popleft()
        if len(word) >= 2 and word[0] == "-" and word[1] in _DREAM:
            value = word[2:] or (words.popleft() if words else "")
            said[_DREAM[word[1]]] = value
        elif not said:
            prompt.append(word)
    return {**said, "prompt": " ".join(prompt)} if "steps" in said or "seed" in said else None


def _bracketed(prompt: str) -> tuple[str, str]:
    """A prompt, and what stands in its square brackets, which is the negative prompt."""
    kept: list[str] = []
    negative: list[str] = []
    at = 0
    while (opens := prompt.find("[", at)) >= 0 and (closes := prompt.find("]", opens)) >= 0:
        kept.append(prompt[at:opens])
        negative.append(prompt[opens + 1 : closes].strip())
        at = closes + 1
    return " ".join(("".join(kept) + prompt[at:]).split()), " ".join(negative)


def _scheduled(recipe: Recipe, field: str, said: Any, notes: Notes) -> None:
    found = notes.known(field, said, INVOKE_SCHEDULERS, "dpmpp_2m")
    if found is not None:
        recipe.sampler, recipe.schedule = found


def _left_out(said: dict[str, Any], notes: Notes) -> None:
    for name in NO_COUNTERPART:
        if said.get(name):
            notes.left_out(name, said[name])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
