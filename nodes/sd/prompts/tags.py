"""Parses tags such as `<lora:name:0.8>` (A1111), and removes them from the prompt before it is parsed."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

from nodes.sd.lora import blocks
from nodes.sd.prompts.excerpt import Excerpt, PromptError, PromptWarning

_OPENS = re.compile(r"<(\w+):")
_KINDS: dict[str, Literal["lora", "hypernet"]] = {"lora": "lora", "lyco": "lora", "hypernet": "hypernet"}
_FOR_SOME_STEPS = ("start", "stop", "step")
"""Fields of "LoRA Block Weight" for A1111 that switch a LoRA on or off during sampling."""


@dataclass(frozen=True)
class Tag:
    """A LoRA or hypernetwork tag of a prompt."""

    kind: Literal["lora", "hypernet"]
    name: str
    unet: float = 1.0
    """The weight in the UNet."""
    text: float = 1.0
    """The weight in the text encoder. For a hypernetwork, both weights are its strength."""
    rank: int | None = None
    """How many of the LoRA's ranks to use, from the first; None for all."""
    blocks: str = ""
    """Block weights as typed: a preset or a list of numbers; empty for 1 in every block."""

    def as_json(self) -> dict[str, Any]:
        """Convert the tag to JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """Write the tag as in a prompt; `cut` parses the same tag from it."""
        arguments = [self.name, _written(self.text)]
        if self.unet != self.text or self.rank is not None:
            arguments.append(_written(self.unet))
        if self.rank is not None:
            arguments.append(str(self.rank))
        if self.blocks:
            arguments.append(f"lbw={self.blocks}")
        return f"<{self.kind}:{':'.join(arguments)}>"


def without_effect(tag: Tag) -> str:
    """Return the warning about a tag in a prompt that is encoded without applying its tags."""
    return (
        f"{tag} has no effect here: put an ApplyTags node before this one, or connect `tags` to `more` of"
        " ApplyLoRA"
    )


def cut(prompt: Excerpt) -> tuple[Excerpt, list[Tag], list[PromptWarning]]:
    """Remove the tags from a prompt.

    A tag is `<kind:arguments>`; it cannot be escaped. Arguments are separated by `:`, and an argument with a
    `=` in it is named. `lora` (or `lyco`) takes a name, the text encoder's weight (default 1), the UNet's
    weight (default: the text encoder's) and a rank, or the names `te`, `unet`, `dyn` and `lbw` (block
    weights). `hypernet` takes a name and a strength (default 1).

    Returns:
        the prompt without its tags; the tags in order; a warning for every tag of an unknown kind and for
        every field that has no effect.

    Raises:
        PromptError: a tag names no file, or a weight is not a number.
    """
    tags: list[Tag] = []
    warnings: list[PromptWarning] = []
    kept: list[tuple[int, int]] = []
    begin = at = 0
    while (opens := _OPENS.search(prompt.text, at)) is not None:
        closes = prompt.text.find(">", opens.end())
        if closes < 0:
            break
        at = closes + 1
        if closes == opens.end():
            continue  # `<a:>` has no effect and stays
        kept.append((begin, opens.start()))
        begin = at
        place = prompt.origin(opens.start())
        if (kind := _KINDS.get(opens[1])) is None:
            message = f"<{opens[1]}:…> is not a known kind of tag and is left out"
            warnings.append(PromptWarning(message, place))
        else:
            tag, messages = _tag(kind, prompt.text[opens.end() : closes], place)
            tags.append(tag)
            warnings += [PromptWarning(message, place) for message in messages]
    return prompt.keep([*kept, (begin, len(prompt.text))]), tags, warnings


def _tag(kind: Literal["lora", "hypernet"], arguments: str, at: int) -> tuple[Tag, list[str]]:
    """Parse one tag; return it with messages about fields without effect."""
    plain, named = [], {}
    for argument in arguments.split(":"):
        name, sign, value = argument.partition("=")
        if sign and "=" not in value:
            named[name.strip()] = value.strip()
        else:
            plain.append(argument)
    if not plain:
        raise PromptError(f"<{kind}:…> at character {at + 1} names no file. Write <{kind}:name:1>.")
    if len(plain) > 2 and kind == "lora" and (preset := plain[-1].strip()) in blocks.PRESETS:
        named.setdefault("lbw", preset)  # older versions of the extension: <lora:name:1:OUTD>
        del plain[-1]
    first = _number(plain[1], at) if len(plain) > 1 else 1.0
    if kind == "hypernet":
        tag = Tag(kind, plain[0], first, first)
        return tag, [_no_effect(tag, *item) for item in named.items()]
    text = _number(named.pop("te"), at) if "te" in named else first
    unet = _number(plain[2], at) if len(plain) > 2 else text
    if "unet" in named:
        unet = _number(named.pop("unet"), at)
    rank = named.pop("dyn", plain[3] if len(plain) > 3 else None)
    ranks = None if rank is None else int(_number(rank, at))
    weights = named.pop("lbw", "")
    messages = []
    try:
        blocks.parse(weights)
    except ValueError as error:
        messages.append(f"lbw={weights[:40]} in the tag of {plain[0]!r} has no effect: {error}")
        weights = ""
    tag = Tag(kind, plain[0], unet, text, ranks, weights)
    return tag, [*messages, *(_no_effect(tag, *item) for item in named.items())]


def _no_effect(tag: Tag, name: str, value: str) -> str:
    for_some_steps = tag.kind == "lora" and name in _FOR_SOME_STEPS
    why = "the LoRA acts on every step" if for_some_steps else "there is no such field"
    return f"{name[:40]}={value[:40]} in the tag of {tag.name!r} has no effect: {why}"


def _written(number: float) -> str:
    """Format a number so that `float` restores it exactly, without needless digits: 1 for 1.0."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def _number(text: str, at: int) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise PromptError(
            f"{text[:40]!r} in the tag at character {at + 1} is not a number. Write one, as in 0.8."
        )
    return number
