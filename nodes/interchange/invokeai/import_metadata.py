"""Converts InvokeAI's pictures to graphs.

Their settings are in `invokeai_metadata` since version 3, in `sd-metadata` and `Dream` before.
"""

from __future__ import annotations

import shlex
from collections import deque
from typing import Any

from engine.errors import GraphError
from engine.files import Files
from engine.sources import foreign as foreigners
from engine.sources.foreign import Foreign, Imported
from engine.widgets import SEED_MAX
from nodes.interchange.graph_from_settings import imported
from nodes.interchange.import_problems import ImportProblems, title_of
from nodes.interchange.invokeai import import_workflow
from nodes.interchange.invokeai.workflow_format import is_workflow, model_name_and_hash
from nodes.interchange.local_files import LocalFiles
from nodes.interchange.picture_settings import PictureSettings, RequestedLora, picture_side
from nodes.interchange.sampler_names import INVOKE_SCHEDULERS, KEEP_PENULTIMATE

METADATA = "invokeai_metadata"
OLDER_METADATA, COMMAND_LINE = "sd-metadata", "Dream"
WORKFLOWS = ("invokeai_workflow", "invokeai_graph")
MAX_COMMAND_LINE = 1 << 16
MAX_LORAS = 100

WITHOUT_COUNTERPART = (
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
"""Fields without a counterpart that affect the picture if they are set."""
_OPTIONS = {
    "s": "steps",
    "S": "seed",
    "W": "width",
    "H": "height",
    "C": "cfg_scale",
    "A": "sampler",
    "f": "strength",
    "I": "init_image",
}
"""The options of a `Dream` line."""


def import_invokeai(foreign: Foreign, tree: Any, files: Files) -> Imported | None:
    """Convert a picture or a workflow to a graph; None if it is not InvokeAI's.

    Raises:
        GraphError: the metadata is damaged or too large.
    """
    if is_workflow(tree):
        return import_workflow.imported(tree, foreign.name, "InvokeAI's workflow", files)
    problems = ImportProblems()
    local_files = LocalFiles(files, problems)
    metadata = _json(foreign, METADATA)
    if isinstance(metadata, dict) and isinstance(metadata.get("positive_prompt"), str):
        settings = _settings(metadata, problems)
        return imported(settings, local_files, problems, "InvokeAI's metadata", foreign.name)
    for chunk in WORKFLOWS:
        workflow = _json(foreign, chunk)
        if is_workflow(workflow):
            return import_workflow.imported(workflow, foreign.name, "the workflow of InvokeAI", files)
    older = _json(foreign, OLDER_METADATA)
    if isinstance(older, dict) and isinstance(older.get("image"), dict):
        settings = _older_settings(older, problems)
        return imported(settings, local_files, problems, "InvokeAI's older metadata", foreign.name)
    line = foreign.chunks.get(COMMAND_LINE)
    if line is not None and (options := _parse_command_line(line)) is not None:
        settings = _older_settings({"image": options}, problems)
        return imported(settings, local_files, problems, "InvokeAI's Dream", foreign.name)
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
        return None  # another text of the picture may contain the settings


def _settings(metadata: dict[str, Any], problems: ImportProblems) -> PictureSettings:
    prompts = metadata["positive_prompt"], _text(metadata.get("negative_prompt"))
    settings = PictureSettings(*prompts, dialect="compel")
    _numbers(settings, metadata, problems)
    rescale = metadata.get("cfg_rescale_multiplier")
    settings.rescale = problems.number("cfg_rescale_multiplier", rescale, 0, 1) or None
    _scheduler(settings, "scheduler", metadata.get("scheduler"), problems)
    skipped = problems.whole("clip_skip", metadata.get("clip_skip"), 0, 11)
    settings.clip_skip = skipped + 1 if skipped else None
    settings.model, settings.model_hash = model_name_and_hash(metadata.get("model"))
    loras = metadata.get("loras")
    for item in loras[:MAX_LORAS] if isinstance(loras, list) else ():
        if isinstance(item, dict):
            name, hash = model_name_and_hash(item.get("model", item.get("lora")))
            weight = problems.number(f"the LoRA {name}", item.get("weight", 0.75), -10, 10)
            settings.loras.append(RequestedLora(name, 0.0 if weight is None else weight, hash=hash))
    if "img2img" in str(metadata.get("generation_mode")) or metadata.get("init_image"):
        _input_picture(settings, metadata, problems)
    if str(metadata.get("rand_device", "cpu")) != "cpu":
        settings.denoise["noise"] = "nv"
    _warn_left_out(metadata, problems)
    return settings


def _older_settings(metadata: dict[str, Any], problems: ImportProblems) -> PictureSettings:
    image = metadata["image"]
    prompt = image.get("prompt")
    if isinstance(prompt, list):
        if len(prompt) > 1:
            problems.left_out("prompt", None, "of several weighted prompts only the first is used")
        prompt = prompt[0].get("prompt") if prompt and isinstance(prompt[0], dict) else ""
    settings = PictureSettings(*_split_negative(_text(prompt)), dialect="compel")
    _numbers(settings, image, problems)
    _scheduler(settings, "sampler", image.get("sampler"), problems)
    settings.model = title_of(metadata.get("model_weights"))
    if image.get("type") == "img2img" or image.get("init_image"):
        _input_picture(settings, image, problems)
    _warn_left_out(image, problems)
    return settings


def _numbers(settings: PictureSettings, fields: dict[str, Any], problems: ImportProblems) -> None:
    settings.steps = problems.whole("steps", fields.get("steps"), 1, 999)
    settings.seed = problems.whole("seed", fields.get("seed"), 0, SEED_MAX)
    settings.guidance = problems.number("cfg_scale", fields.get("cfg_scale"), 0, 30)
    settings.width = picture_side(problems, "width", fields.get("width"))
    settings.height = picture_side(problems, "height", fields.get("height"))


def _input_picture(settings: PictureSettings, fields: dict[str, Any], problems: ImportProblems) -> None:
    settings.strength = problems.number("strength", fields.get("strength", 0.75), 0, 1)
    settings.picture = _text(fields.get("init_image"))


def _parse_command_line(line: str) -> dict[str, Any] | None:
    """Parse a command line such as `"a cat" -s50 -S 1 -W512 -H512 -C7.5 -A k_lms`.

    None if it has neither steps nor a seed.
    """
    if len(line) > MAX_COMMAND_LINE:
        return None
    try:
        words = deque(shlex.split(line))
    except ValueError:
        return None
    options: dict[str, Any] = {}
    prompt: list[str] = []
    while words:
        word = words.popleft()
        if len(word) >= 2 and word[0] == "-" and word[1] in _OPTIONS:
            value = word[2:] or (words.popleft() if words else "")
            options[_OPTIONS[word[1]]] = value
        elif not options:
            prompt.append(word)
    return {**options, "prompt": " ".join(prompt)} if "steps" in options or "seed" in options else None


def _split_negative(prompt: str) -> tuple[str, str]:
    """Split a prompt into the prompt and the negative prompt, which is in square brackets."""
    positive: list[str] = []
    negative: list[str] = []
    at = 0
    while (opens := prompt.find("[", at)) >= 0 and (closes := prompt.find("]", opens)) >= 0:
        positive.append(prompt[at:opens])
        negative.append(prompt[opens + 1 : closes].strip())
        at = closes + 1
    return " ".join(("".join(positive) + prompt[at:]).split()), " ".join(negative)


def _scheduler(settings: PictureSettings, field: str, name: Any, problems: ImportProblems) -> None:
    names = problems.translated(field, name, INVOKE_SCHEDULERS, "dpmpp_2m")
    if names is not None:
        settings.sampler, settings.schedule = names
        if settings.sampler in KEEP_PENULTIMATE:
            settings.denoise["discard_penultimate"] = False


def _warn_left_out(fields: dict[str, Any], problems: ImportProblems) -> None:
    for name in WITHOUT_COUNTERPART:
        if fields.get(name):
            problems.left_out(name, fields[name])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
