"""Converts pictures of NovelAI to graphs. Their PNG text `Comment` contains the settings as JSON."""

from __future__ import annotations

from typing import Any

from engine.files import Files
from engine.sources import foreign as foreigners
from engine.sources.foreign import Foreign, Imported
from engine.widgets import SEED_MAX
from nodes.interchange.graph_from_settings import imported
from nodes.interchange.import_problems import ImportProblems
from nodes.interchange.local_files import LocalFiles
from nodes.interchange.picture_settings import PictureSettings, picture_side
from nodes.interchange.sampler_names import NOVELAI_SAMPLERS, NOVELAI_SCHEDULES

BRACE_WEIGHT, BRACKET_WEIGHT = "1.05", "0.952"
"""The weights of `{x}` and `[x]`; 0.952 is 1 / 1.05."""
WITHOUT_COUNTERPART = (
    "sm",
    "sm_dyn",
    "dynamic_thresholding",
    "controlnet_model",
    "v4_prompt",
    "reference_image",
)
"""Fields without a counterpart that affect the picture if they are set."""


def import_novelai(foreign: Foreign, tree: Any, files: Files) -> Imported | None:
    """Convert a picture to a graph; None if it is not NovelAI's.

    Raises:
        GraphError: the comment is not JSON, or too large.
    """
    chunks = foreign.chunks
    if chunks.get("Software") != "NovelAI" or "Comment" not in chunks:
        return None
    comment = foreigners.parse(chunks["Comment"])
    fields: dict[str, Any] = comment if isinstance(comment, dict) else {}
    problems = ImportProblems()
    prompt = fields.get("prompt", chunks.get("Description"))
    settings = PictureSettings(a1111_weights(_text(prompt)), a1111_weights(_text(fields.get("uc"))))
    settings.steps = problems.whole("steps", fields.get("steps"), 1, 999)
    settings.seed = problems.whole("seed", fields.get("seed"), 0, SEED_MAX)
    settings.guidance = problems.number("scale", fields.get("scale"), 0, 30)
    settings.rescale = problems.number("cfg_rescale", fields.get("cfg_rescale"), 0, 1) or None
    settings.width = picture_side(problems, "width", fields.get("width"))
    settings.height = picture_side(problems, "height", fields.get("height"))
    settings.sampler = problems.translated("sampler", fields.get("sampler"), NOVELAI_SAMPLERS, "dpmpp_2m")
    schedule = fields.get("noise_schedule", "native")
    settings.schedule = problems.translated("noise_schedule", schedule, NOVELAI_SCHEDULES, "karras")
    settings.model = chunks.get("Source", "")
    if fields.get("request_type") == "Img2ImgRequest":
        settings.strength = problems.number("strength", fields.get("strength", 0.7), 0, 1)
    if "|" in settings.prompt or "::" in settings.prompt:
        problems.left_out("the prompt's | and ::", None, "they are read as in A1111's prompts")
    for name in WITHOUT_COUNTERPART:
        if fields.get(name):
            problems.left_out(name, fields[name])
    return imported(settings, LocalFiles(files, problems), problems, "NovelAI's comment", foreign.name)


def a1111_weights(prompt: str) -> str:
    """Convert a NovelAI prompt to A1111's syntax: `{x}` becomes `(x:1.05)`, and `[x]` becomes `(x:0.952)`.

    Other brackets become text.
    """
    openers = {"}": "{", "]": "["}
    opened: list[tuple[str, int]] = []
    pieces: list[str] = []
    for letter in prompt:
        if letter in "{[":
            opened.append((letter, len(pieces)))
            pieces.append("(")
        elif letter in openers and opened and opened[-1][0] == openers[letter]:
            opened.pop()
            pieces.append(f":{BRACE_WEIGHT if letter == '}' else BRACKET_WEIGHT})")
        elif letter in r"()]\\":
            pieces.append(f"\\{letter}")
        else:
            pieces.append(letter)
    for letter, at in opened:  # an unclosed bracket is text
        pieces[at] = "\\[" if letter == "[" else letter
    return "".join(pieces)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
