"""Tags such as `<lora:name:0.8>`: cut out of a prompt before anything else is read (A1111)."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

from nodes.sd.prompts.excerpt import Excerpt, PromptError, Remark

_OPENS = re.compile(r"<(\w+):")
_KINDS: dict[str, Literal["lora", "hypernet"]] = {"lora": "lora", "lyco": "lora", "hypernet": "hypernet"}


@dataclass(frozen=True)
class Tag:
    """A network that a prompt asks for."""

    kind: Literal["lora", "hypernet"]
    name: str
    unet: float = 1.0
    """How strongly it changes the UNet."""
    text: float = 1.0
    """How strongly it changes the text encoder; a hypernetwork has one strength for all."""
    rank: int | None = None
    """How many of its first ranks to use; None is all."""

    def as_json(self) -> dict[str, Any]:
        """The tag as plain JSON."""
        return asdict(self)

    def __str__(self) -> str:
        weights = f"{self.text:g}" if self.unet == self.text else f"{self.text:g}:{self.unet:g}"
        return f"<{self.kind}:{self.name}:{weights}>"


def cut(prompt: Excerpt) -> tuple[Excerpt, list[Tag], list[Remark]]:
    """A prompt without its tags, the tags in order, and a remark on each of no known kind.

    A tag is `<kind:arguments>`, with no way to escape it; arguments are parted by `:`, and one with a `=` is
    named. `lora` (or `lyco`) takes a name, the text encoder's weight (1), the UNet's (as the text encoder's)
    and a rank, or `te=`, `unet=`, `dyn=`; `hypernet` takes a name and a strength (1).

    Raises:
        PromptError: a weight is not a number.
    """
    tags: list[Tag] = []
    remarks: list[Remark] = []
    kept: list[tuple[int, int]] = []
    begin = at = 0
    while (opens := _OPENS.search(prompt.text, at)) is not None:
        closes = prompt.text.find(">", opens.end())
        if closes < 0:
            break
        at = closes + 1
        if closes == opens.end():
            continue  # `<a:>` asks for nothing and stays
        kept.append((begin, opens.start()))
        begin = at
        place = prompt.origin(opens.start())
        if (kind := _KINDS.get(opens[1])) is None:
            remarks.append(Remark(f"<{opens[1]}:…> is no kind of tag that is known, and is left out", place))
        else:
            tags.append(_tag(kind, prompt.text[opens.end() : closes], place))
    return prompt.keep([*kept, (begin, len(prompt.text))]), tags, remarks


def _tag(kind: Literal["lora", "hypernet"], arguments: str, at: int) -> Tag:
    plain, named = [], {}
    for argument in arguments.split(":"):
        name, sign, value = argument.partition("=")
        if sign and "=" not in value:
            named[name.strip()] = value
        else:
            plain.append(argument)
    if not plain:
        raise PromptError(f"<{kind}:…> at character {at + 1} names no file. Write <{kind}:name:1>.")
    first = _number(plain[1], at) if len(plain) > 1 else 1.0
    if kind == "hypernet":
        return Tag(kind, plain[0], first, first)
    text = _number(named["te"], at) if "te" in named else first
    unet = _number(plain[2], at) if len(plain) > 2 else text
    if "unet" in named:
        unet = _number(named["unet"], at)
    rank = named.get("dyn", plain[3] if len(plain) > 3 else None)
    return Tag(kind, plain[0], unet, text, None if rank is None else int(_number(rank, at)))


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
