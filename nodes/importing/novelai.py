"""Pictures of NovelAI: `Software: NovelAI`, with all that counts as JSON in `Comment`."""

from __future__ import annotations

from typing import Any

from engine import foreign as foreigners
from engine.files import Files
from engine.foreign import Foreign, Imported
from engine.widgets import SEED_MAX
from nodes.importing.names import NOVELAI_SAMPLERS, NOVELAI_SCHEDULES
from nodes.importing.notes import Notes
from nodes.importing.recipe import Recipe, side
from nodes.importing.shelf import Shelf

UP, DOWN = "1.05", "0.952"
"""What `{x}` and `[x]` weigh; 0.952 is 1 / 1.05."""
LEFT_OUT = ("sm", "sm_dyn", "dynamic_thresholding", "controlnet_model", "v4_prompt", "reference_image")
"""Fields that change the picture when they hold anything."""


def read(foreign: Foreign, tree: Any, files: Files) -> Imported | None:
    """The graph of a picture; None if it is not NovelAI's.

    Raises:
        GraphError: its comment is no JSON, or too large.
    """
    chunks = foreign.chunks
    if chunks.get("Software") != "NovelAI" or "Comment" not in chunks:
        return None
    said = foreigners.parse(chunks["Comment"])
    said = said if isinstance(said, dict) else {}
    notes = Notes()
    prompt = said.get("prompt", chunks.get("Description"))
    recipe = Recipe(weighted(_text(prompt)), weighted(_text(said.get("uc"))))
    recipe.steps = notes.whole("steps", said.get("steps"), 1, 999)
    recipe.seed = notes.whole("seed", said.get("seed"), 0, SEED_MAX)
    recipe.guidance = notes.number("scale", said.get("scale"), 0, 30)
    recipe.rescale = notes.number("cfg_rescale", said.get("cfg_rescale"), 0, 1) or None
    recipe.width, recipe.height = (side(notes, name, said.get(name)) for name in ("width", "height"))
    recipe.sampler = notes.known("sampler", said.get("sampler"), NOVELAI_SAMPLERS, "dpmpp_2m")
    schedule = said.get("noise_schedule", "native")
    recipe.schedule = notes.known("noise_schedule", schedule, NOVELAI_SCHEDULES, "karras")
    recipe.model = chunks.get("Source", "")
    if said.get("request_type") == "Img2ImgRequest":
        recipe.strength = notes.number("strength", said.get("strength", 0.7), 0, 1)
    if "|" in recipe.prompt or "::" in recipe.prompt:
        notes.left_out("the prompt's | and ::", None, "they are read as A1111 reads them")
    for name in LEFT_OUT:
        if said.get(name):
            notes.left_out(name, said[name])
    return recipe.imported(Shelf(files, notes), notes, "NovelAI's comment", foreign.name)


def weighted(prompt: str) -> str:
    """A prompt of NovelAI in A1111's words: `{x}` and `[x]` with their numbers, other brackets as text."""
    closes = {"}": "{", "]": "["}
    opened: list[tuple[str, int]] = []
    pieces: list[str] = []
    for letter in prompt:
        if letter in "{[":
            opened.append((letter, len(pieces)))
            pieces.append("(")
        elif letter in closes and opened and opened[-1][0] == closes[letter]:
            opened.pop()
            pieces.append(f":{UP if letter == '}' else DOWN})")
        elif letter in r"()]\\":
            pieces.append(f"\\{letter}")
        else:
            pieces.append(letter)
    for letter, at in opened:  # what is never closed is text
        pieces[at] = "\\[" if letter == "[" else letter
    return "".join(pieces)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
