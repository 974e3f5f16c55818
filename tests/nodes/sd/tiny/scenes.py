"""The scenes that `safelight-tiny` draws: one or two coloured shapes on a background."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

SIZE = 128
"""Width and height of every picture, in pixels."""

COLOURS = {
    "red": (220, 40, 40),
    "orange": (245, 140, 30),
    "yellow": (250, 222, 50),
    "green": (45, 160, 65),
    "cyan": (70, 215, 225),
    "blue": (40, 75, 210),
    "purple": (130, 55, 180),
    "pink": (250, 135, 195),
    "brown": (125, 75, 40),
    "black": (25, 25, 28),
    "white": (245, 245, 245),
    "gray": (135, 135, 138),
}
SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond", "cross", "ring", "moon", "hexagon")
FILLS = ("flat", "striped", "dotted", "outlined")
STYLES = ("plain", "sketch", "pixel")
PATTERNS = ("plain", "striped", "checkered", "dotted", "gradient")
RELATIONS = ("left of", "above", "and")
POSITIONS = {
    "center": (0.5, 0.5),
    "left": (0.24, 0.5),
    "right": (0.76, 0.5),
    "top": (0.5, 0.24),
    "bottom": (0.5, 0.76),
    "top left": (0.25, 0.25),
    "top right": (0.75, 0.25),
    "bottom left": (0.25, 0.75),
    "bottom right": (0.75, 0.75),
}
"""The centre of a shape at each position, as fractions of width and height."""

# The autoencoder sees cells of 8 pixels: a shape of a radius below 13 has too few to keep its corners.
RADII = {"small": (13, 17), "medium": (20, 26), "large": (34, 44)}
"""The range of a shape's radius in pixels."""

COLOUR_SYNONYMS = {
    "purple": ("violet",),
    "gray": ("grey",),
    "cyan": ("turquoise", "teal"),
    "red": ("crimson", "scarlet"),
    "yellow": ("golden",),
    "blue": ("navy",),
    "pink": ("magenta",),
}
SHAPE_SYNONYMS = {
    "circle": ("ball", "disc", "dot", "disk"),
    "square": ("box", "block"),
    "diamond": ("rhombus",),
    "cross": ("plus",),
    "ring": ("donut", "hoop"),
    "moon": ("crescent", "crescent moon"),
}


@dataclass(frozen=True)
class Thing:
    """One coloured shape."""

    shape: str
    colour: str
    fill: str = "flat"
    position: str = "center"
    size: str = "medium"


@dataclass(frozen=True)
class Scene:
    """The content of one picture: one thing, or two and their relation."""

    things: tuple[Thing, ...]
    background: str
    pattern: str = "plain"
    style: str = "plain"
    relation: str = "and"


def draw_scene(rng: random.Random, *, two: float = 0.25, plain: float = 0.8) -> Scene:
    """Draw a scene at random; the same generator state gives the same scene.

    Args:
        rng: The source of chance.
        two: The share of scenes with two things.
        plain: The share of scenes with a plain style; patterns and fills are plain about as often.
    """
    background = rng.choice(list(COLOURS))
    others = [colour for colour in COLOURS if colour != background]

    def thing(position: str, size: str) -> Thing:
        fill = _mostly_first(rng, FILLS, plain)
        return Thing(rng.choice(SHAPES), rng.choice(others), fill, position, size)

    relation = rng.choice(RELATIONS)
    if rng.random() < two:
        first, second = ("top", "bottom") if relation == "above" else ("left", "right")
        things: tuple[Thing, ...] = (thing(first, "medium"), thing(second, "medium"))
    else:
        position = "center" if rng.random() < 0.5 else rng.choice(list(POSITIONS))
        size = rng.choices(list(RADII), [0.2, 0.55, 0.25])[0]
        # A large shape off the centre would leave the picture.
        things = (thing(position, "medium" if size == "large" and position != "center" else size),)
        relation = "and"
    return Scene(
        things, background, _mostly_first(rng, PATTERNS, plain), _mostly_first(rng, STYLES, plain), relation
    )


def caption(scene: Scene) -> str:
    """The plain caption of a scene, as a prompt for the evaluation."""
    return _say(scene, _Plain())


def free_caption(scene: Scene, rng: random.Random, filler: Callable[[], str] | None = None) -> str:
    """A random caption of a scene: with synonyms, other word orders and omitted parts.

    Args:
        scene: The scene to describe.
        rng: The source of chance.
        filler: Returns a word without meaning for the scene; a seventh of the captions get one to four of
            them, so that the model learns to ignore unknown words.
    """
    text = _say(scene, _Free(rng))
    if filler is not None and rng.random() < 0.15:
        words = " ".join(filler() for _ in range(rng.randint(1, 4)))
        text = f"{text}, {words}" if rng.random() < 0.7 else f"{words}, {text}"
    if rng.random() < 0.05:
        text = text[0].upper() + text[1:] + "."
    return text


class _Plain:
    """Always chooses the first, plainest wording and omits nothing."""

    def one_of(self, *wordings: str) -> str:
        return wordings[0]

    def perhaps(self, chance: float) -> bool:
        return False

    def name(self, word: str, synonyms: dict[str, tuple[str, ...]]) -> str:
        return word


class _Free(_Plain):
    """Chooses random wordings."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def one_of(self, *wordings: str) -> str:
        return self.rng.choice(wordings)

    def perhaps(self, chance: float) -> bool:
        return self.rng.random() < chance

    def name(self, word: str, synonyms: dict[str, tuple[str, ...]]) -> str:
        return self.rng.choice(synonyms[word]) if word in synonyms and self.perhaps(0.15) else word


def _say(scene: Scene, voice: _Plain) -> str:
    if len(scene.things) == 1:
        text = _thing(scene.things[0], scene.style, voice) + _place(scene.things[0].position, voice)
    else:
        text = _pair(scene, voice)
    background = voice.name(scene.background, COLOUR_SYNONYMS)
    background = _article(background if scene.pattern == "plain" else f"{scene.pattern} {background}")
    if voice.perhaps(0.1):
        kinds = ("a picture of", "a drawing of", "an image of", "a photo of", "an illustration of")
        text = f"{voice.one_of(*kinds)} {text}"
    if not voice.perhaps(0.06):
        on = f"{text} on {background} background"
        text = voice.one_of(
            *[on] * 11,
            *[f"{text}, {background.split(' ', 1)[1]} background"] * 3,
            f"{text} in front of {background} background",
            f"{background} background with {text}",
        )
    if scene.style == "sketch":
        text = voice.one_of(f"a pencil sketch of {text}", f"a sketch of {text}", f"{text}, pencil sketch")
    if scene.style == "pixel":
        text = voice.one_of(f"pixel art of {text}", f"{text}, pixel art")
    return text


def _thing(thing: Thing, style: str, voice: _Plain) -> str:
    words = []
    if thing.size == "small":
        words.append(voice.one_of("small", "small", "tiny", "little"))
    if thing.size == "large":
        words.append(voice.one_of("large", "big", "huge"))
    if thing.fill != "flat" and style != "sketch":
        words.append(thing.fill)
    if not voice.perhaps(0.03):
        words.append(voice.name(thing.colour, COLOUR_SYNONYMS))
    words.append("shape" if voice.perhaps(0.02) else voice.name(thing.shape, SHAPE_SYNONYMS))
    return _article(" ".join(words))


def _place(position: str, voice: _Plain) -> str:
    if position == "center":
        return voice.one_of(" in the center", " in the middle") if voice.perhaps(0.1) else ""
    if " " in position:
        return voice.one_of(f" in the {position} corner", f" in the {position}")
    if position in ("left", "right"):
        return voice.one_of(f" on the {position}", f" on the {position} side")
    return f" at the {position}"


def _pair(scene: Scene, voice: _Plain) -> str:
    a, b = (_thing(thing, scene.style, voice) for thing in scene.things)
    if scene.relation == "left of":
        return voice.one_of(*[f"{a} left of {b}"] * 3, f"{a} to the left of {b}", f"{b} to the right of {a}")
    if scene.relation == "above":
        return voice.one_of(*[f"{a} above {b}"] * 3, *[f"{b} below {a}"] * 2)
    return f"{a} and {b}"


def _mostly_first(rng: random.Random, options: tuple[str, ...], share: float) -> str:
    return options[0] if rng.random() < share else rng.choice(options[1:])


def _article(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"
