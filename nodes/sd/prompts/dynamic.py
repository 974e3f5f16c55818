r"""Replaces the choices of dynamic prompts, such as `{red|green}` and `__colour__`, at random by a seed.

The syntax is that of the "Dynamic Prompts" extension of A1111, of which ComfyUI reads the plain `{a|b}`:

- `{a|b}` is one of the options; options may be empty and may contain further choices.
- `{2::a|b}` chooses `a` twice as often as `b`, whose weight is 1.
- `{2$$a|b|c}` is two different options, joined by a comma; `{1-2$$…}` is one or two; `{2$$ and $$a|b|c}`
  joins them by ` and `.
- `__name__` is a line of the wildcard file `name`, and may contain all of this; `*` matches several files.
- `\{`, `\}` and `\|` are these characters. A bracket without its other half is text.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nodes.sd.prompts.excerpt import PromptError

Lines = Callable[[str], Sequence[str]]
"""Returns the lines of the wildcard files that a name matches; raises an error if there are none."""

MAX_DEPTH = 20
"""The greatest number of choices and wildcards inside one another."""
MAX_CHARACTERS = 40_000
"""The greatest length of the text, before and after the choices."""
MAX_CHOICES = 10_000
"""The greatest number of choices in one prompt."""

_PIECE = re.compile(r"\\[{}|]|__[\w*][\w*./ -]*?__|[{}|]|[^\\{}|_]++|.", re.DOTALL)
_WILDCARD = re.compile(r"__([\w*][\w*./ -]*?)__")
_COUNT = re.compile(r"\s*(\d{1,4})(?:-(\d{1,4}))?\$\$")
_SEPARATOR = re.compile(r"([^$]*)\$\$")
_WEIGHT = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})::")


@dataclass
class _Choice:
    """A pair of braces: its options with their weights, and how many to choose."""

    options: list[tuple[float, list[_Part]]]
    least: int = 1
    most: int = 1
    separator: str = ", "


@dataclass(frozen=True)
class _Wildcard:
    name: str


_Part = str | _Choice | _Wildcard


def choose(prompt: str, seed: int, lines: Lines) -> str:
    """Replace every choice and wildcard of a prompt. The same seed and files give the same text.

    Args:
        prompt: the prompt with its choices.
        seed: the seed of the random choices.
        lines: reads the wildcard files that a name matches.

    Raises:
        PromptError: the prompt or its result is too long, nests too deeply or has too many choices.
    """
    return _Chooser(random.Random(seed), lines).text(prompt, 0)


class _Chooser:
    def __init__(self, draws: random.Random, lines: Lines) -> None:
        self._draws, self._lines = draws, lines
        self._choices = 0

    def text(self, prompt: str, depth: int) -> str:
        if len(prompt) > MAX_CHARACTERS:
            raise PromptError(f"This prompt has more than {MAX_CHARACTERS:,} characters. Shorten it.")
        return self._joined(_parse(prompt), depth)

    def _joined(self, parts: list[_Part], depth: int) -> str:
        if depth > MAX_DEPTH:
            raise PromptError(
                f"Choices are nested more than {MAX_DEPTH} levels deep. A wildcard file may name itself."
            )
        texts: list[str] = []
        length = 0
        for part in parts:
            texts.append(part if isinstance(part, str) else self._chosen(part, depth))
            length += len(texts[-1])
            if length > MAX_CHARACTERS:
                raise PromptError(f"The chosen prompt has more than {MAX_CHARACTERS:,} characters.")
        return "".join(texts)

    def _chosen(self, part: _Choice | _Wildcard, depth: int) -> str:
        self._choices += 1
        if self._choices > MAX_CHOICES:
            raise PromptError(f"This prompt has more than {MAX_CHOICES:,} choices. Use fewer.")
        if isinstance(part, _Wildcard):
            lines = self._lines(part.name)
            return self.text(lines[self._pick([1.0] * len(lines))], depth + 1)
        count = part.least
        if part.most > part.least:
            count += int(self._draws.random() * (part.most - part.least + 1))
        left = list(part.options)
        texts = []
        for _ in range(min(count, len(left))):
            _, option = left.pop(self._pick([weight for weight, _ in left]))
            texts.append(self._joined(option, depth + 1))
        return part.separator.join(texts)

    def _pick(self, weights: Sequence[float]) -> int:
        """Draw a random index by weight, only with `random()`, which is the same in all Python versions."""
        at = self._draws.random() * sum(weights)
        for index, weight in enumerate(weights):
            at -= weight
            if at < 0:
                return index
        return len(weights) - 1


def _parse(prompt: str) -> list[_Part]:
    """Parse a dynamic prompt such as `a {red|blue} car` into text, choices and wildcards."""
    pieces = [match[0] for match in _PIECE.finditer(prompt)]
    closes = _pairs(pieces)
    opened: list[tuple[int, list[list[_Part]]]] = []
    options: list[list[_Part]] = [[]]
    for number, piece in enumerate(pieces):
        if number in closes:
            opened.append((closes[number], options))
            options = [[]]
        elif opened and number == opened[-1][0]:
            choice = _choice(options)
            _, options = opened.pop()
            options[-1].append(choice)
        elif piece == "|" and opened:
            options.append([])
        elif (wildcard := _WILDCARD.fullmatch(piece)) is not None:
            options[-1].append(_Wildcard(wildcard[1].strip()))
        else:
            escaped = piece[0] == "\\" and len(piece) == 2
            _append(options[-1], piece[1] if escaped else piece)
    return options[0]


def _pairs(pieces: Sequence[str]) -> dict[int, int]:
    """Map the number of each opening brace to that of its closing brace; unpaired braces are left out."""
    opened: list[int] = []
    pairs: dict[int, int] = {}
    for number, piece in enumerate(pieces):
        if piece == "{":
            opened.append(number)
        elif piece == "}" and opened:
            pairs[opened.pop()] = number
    return pairs


def _append(parts: list[_Part], text: str) -> None:
    if parts and isinstance(parts[-1], str):
        parts[-1] += text
    else:
        parts.append(text)


def _choice(options: list[list[_Part]]) -> _Choice:
    """Make a choice from its options, and remove count, separator and weights from their texts."""
    choice = _Choice([])
    first = options[0]
    if first and isinstance(first[0], str) and (count := _COUNT.match(first[0])) is not None:
        rest = first[0][count.end() :]
        if (separator := _SEPARATOR.match(rest)) is not None:
            choice.separator, rest = separator[1], rest[separator.end() :]
        choice.least = int(count[1])
        choice.most = max(choice.least, int(count[2] or count[1]))
        first[0] = rest
    for option in options:
        weight = 1.0
        if option and isinstance(option[0], str) and (match := _WEIGHT.match(option[0])) is not None:
            weight, option[0] = float(match[1]), option[0][match.end() :]
        choice.options.append((weight, option))
    return choice
