"""Converts the `parameters` text of A1111, Forge, SD.Next, Civitai and Safelight to a graph."""

from __future__ import annotations

import re
from typing import Any

from engine.files import Files
from engine.sources.foreign import Foreign, Imported
from engine.widgets import SEED_MAX
from nodes.files.file_names import stem
from nodes.interchange.a1111 import parse_parameters
from nodes.interchange.a1111.civitai import add_civitai_fields
from nodes.interchange.a1111.hires_fields import take_hires
from nodes.interchange.a1111.old_versions import minor_version, whole_step_numbers
from nodes.interchange.a1111.parse_parameters import Parameters, name_in_hashes
from nodes.interchange.a1111.sampling_fields import add_sampling_fields
from nodes.interchange.graph_from_settings import imported
from nodes.interchange.import_problems import ImportProblems
from nodes.interchange.local_files import LocalFiles
from nodes.interchange.picture_settings import PictureSettings, RequestedLora, picture_side
from nodes.sd.prompts import tags
from nodes.sd.prompts.dialects import without_comments
from nodes.sd.prompts.excerpt import Excerpt, PromptError

CHUNK = "parameters"
DIALECTS = ("a1111", "comfy", "compel", "plain")
"""Values of the field `Dialect`, which Safelight writes for prompts that are not in A1111's syntax."""

_EMPHASIS = {"original": "original", "no norm": "no_norm", "ignore": "ignore"}
_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")

IGNORED_FIELDS = frozenset(
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
    }
)
"""Fields that are ignored without a warning: they do not affect the picture, or repeat other fields."""


def import_parameters(foreign: Foreign, tree: Any, files: Files) -> Imported | None:
    """Convert a `parameters` text to a graph; None if the text is not in A1111's format.

    Args:
        foreign: the file.
        tree: the file's JSON, if it is JSON; A1111's text never is.
        files: the user's files.

    Raises:
        GraphError: the text is too long.
    """
    text = foreign.chunks.get(CHUNK, foreign.text)
    if text is None or tree is not None or text.lstrip()[:1] in ("{", "["):
        return None
    parameters = parse_parameters.parse(text)
    if "Steps" not in parameters.fields:
        return None
    problems = ImportProblems()
    settings = settings_of(parameters, problems)
    return imported(settings, LocalFiles(files, problems), problems, _origin(parameters.fields), foreign.name)


def _origin(fields: dict[str, str]) -> str:
    version = fields.get("Version", "")
    if version.startswith("Safelight"):
        return "the parameters that Safelight writes"
    if version[:1] == "f":
        return "Forge's parameters"
    if fields.get("App", "") == "SD.Next":
        return "SD.Next's parameters"
    return "A1111's parameters"


def settings_of(parameters: Parameters, problems: ImportProblems) -> PictureSettings:
    """Read the settings from the fields; warns about each field that is not used."""
    fields = dict(parameters.fields)
    settings = PictureSettings(parameters.prompt, parameters.negative)
    settings.steps = problems.whole("Steps", fields.pop("Steps", None), 1, 999)
    settings.guidance = problems.number("CFG scale", fields.pop("CFG scale", None), 0, 30)
    distilled = fields.pop("Distilled CFG Scale", None)  # of Forge, a fork of A1111 that runs FLUX.1
    settings.distilled_guidance = problems.number("Distilled CFG Scale", distilled, 0, 100)
    add_sampling_fields(settings, fields, problems)
    settings.rescale = problems.number("CFG Rescale phi", fields.pop("CFG Rescale phi", None), 0, 1)
    settings.seed = problems.whole("Seed", fields.pop("Seed", None), 0, SEED_MAX)
    settings.width, settings.height = _size(fields.pop("Size", None), problems)
    settings.clip_skip = problems.whole("Clip skip", fields.pop("Clip skip", None), 1, 12)
    settings.model = fields.pop("Model", "")
    settings.model_hash = fields.pop("Model hash", None)
    settings.emphasis = _emphasis(fields.pop("Emphasis", "Original"), problems)
    if (dialect := fields.pop("Dialect", "a1111")) in DIALECTS:
        settings.dialect = dialect
    _prompts(settings, fields, problems)
    if (hypernetwork := fields.pop("Hypernet", None)) is not None:
        strength = problems.number("Hypernet strength", fields.pop("Hypernet strength", None), -10, 10)
        settings.hypernetworks.append((hypernetwork, 1.0 if strength is None else strength))
    add_civitai_fields(settings, fields, problems)
    settings.strength = _strength(settings, fields, problems)
    for name, value in fields.items():
        if name not in IGNORED_FIELDS:
            problems.left_out(name, value)
    return settings


def _size(text: str | None, problems: ImportProblems) -> tuple[int | None, int | None]:
    """Parse a width and height such as `512x768`."""
    match = _SIZE.fullmatch("" if text is None else text.strip())
    if match is None:
        if text is not None:
            problems.left_out("Size", text, "it is not WIDTHxHEIGHT; 512x512 is used")
        return None, None
    width, height = (picture_side(problems, "Size", pixels) for pixels in match.groups())
    return width, height


def _emphasis(name: str, problems: ImportProblems) -> str | None:
    """Return the value of EncodePrompt's `emphasis`; None for the default."""
    emphasis = _EMPHASIS.get(name.casefold())
    if emphasis is None:
        problems.left_out("Emphasis", name, "original is used instead")
    return None if emphasis == "original" else emphasis


def _strength(settings: PictureSettings, fields: dict[str, str], problems: ImportProblems) -> float | None:
    """Remove the denoising strength from the fields: returns that of image to image, None for text to image.

    With a Hires fix, the strength is that of its second pass, which is added to the settings.
    """
    strength = problems.number("Denoising strength", fields.pop("Denoising strength", None), 0, 1)
    if not any(name.startswith("Hires") for name in fields):
        return strength
    take_hires(settings, fields, strength, problems)  # the strength is that of the second pass
    return None


def _prompts(settings: PictureSettings, fields: dict[str, str], problems: ImportProblems) -> None:
    """Move the prompt's tags to the settings, remove its comments, and convert older syntax."""
    minor = minor_version(fields.get("Version", ""))
    if minor is not None and minor < 6:
        settings.prompt = whole_step_numbers(settings.prompt)
        settings.negative = whole_step_numbers(settings.negative)
    if minor is not None and minor >= 8 and "#" in settings.prompt + settings.negative:
        settings.prompt = without_comments(Excerpt(settings.prompt)).text
        settings.negative = without_comments(Excerpt(settings.negative)).text
        problems.warn("comments", "text after # is removed from the prompts: A1111 reads it as a comment")
    hashes = parse_parameters.parse_hashes(fields.get("Lora hashes", ""))
    settings.embeddings = parse_parameters.parse_hashes(fields.get("TI hashes", ""))
    try:
        rest, found, warnings = tags.cut(Excerpt(settings.prompt))
    except PromptError as error:
        problems.left_out("the prompt's tags", None, str(error))
        return
    settings.prompt = rest.text.strip() if found else rest.text.rstrip()
    for warning in warnings:
        problems.warn("left_out", str(warning))
    for tag in found:
        unet, text = (problems.number(str(tag), weight, -10, 10) or 0.0 for weight in (tag.unet, tag.text))
        if tag.kind == "hypernet":
            settings.hypernetworks.append((tag.name, unet))
        else:
            ranks = tag.rank if tag.rank is not None and tag.rank >= 1 else None
            hash = hashes.get(name_in_hashes(tag.name)) or hashes.get(name_in_hashes(stem(tag.name)))
            lora = RequestedLora(tag.name, unet, text, ranks, tag.blocks, hash)
            settings.loras.append(lora)
