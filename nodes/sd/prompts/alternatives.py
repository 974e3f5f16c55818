"""Prompts that change during sampling: `[from:to:when]` and `[a|b]`, in A1111's syntax."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

from nodes.sd.prompts.excerpt import Excerpt, PromptError
from nodes.sd.prompts.timeline import Timeline

_PIECE = re.compile(r"\\.|[\[\]():|]|[^\\\[\]():|]++|\\", re.DOTALL)
_NUMBER = re.compile(r"\s*+([+-]?(?:\d++\.?\d*+|\.\d++)(?:[eE][+-]?\d++)?)\s*+", re.ASCII)
_OPENS = {")": "(", "]": "["}

MOST = 256
"""The greatest number of readings of a prompt. A reading is the text that holds at some steps; each is
encoded."""

_CHARACTERS = 200_000


class Switch(NamedTuple):
    """The step at which a part of the prompt changes from its first option to its second."""

    fraction: bool
    """True if `after` is a fraction."""
    after: float
    """The end of the first option: a fraction of all steps, or a number of steps."""


@dataclass(frozen=True)
class Turn:
    """A part of the prompt with different options at different steps."""

    options: list[Content]
    switch: Switch | None = None
    """The switch; None for options that alternate at each step."""

    def pick(self, passed: frozenset[Switch], step: int) -> Content:
        """Return the option at a step, counted from 0, given the switches that are passed."""
        if self.switch is None:
            return self.options[step % len(self.options)]
        return self.options[self.switch in passed]


Content = list["tuple[int, int] | Turn"]
"""Spans of the text, each from start up to end, and parts that change."""


@dataclass
class _Open:
    """An opening bracket whose closing bracket has not been found yet."""

    kind: str
    place: int
    """Its index in the content."""
    signs: list[tuple[str, int, int]] = field(default_factory=list)
    """Each `:` and `|` directly inside the bracket: the sign, its place in the text, its index in the
    content."""


class Alternatives:
    """A parsed prompt whose text may change from step to step.

    `[from:to:when]` and `[to:when]` switch after a fraction of the steps if `when` contains a point, else
    after a number of steps; `[a|b|c]` alternates. They may be nested. All other brackets, `:` and `|` are
    text. As in A1111, a `|` outside of `[ ]` turns the whole prompt into text.

    Args:
        prompt: the prompt.
    """

    def __init__(self, prompt: Excerpt) -> None:
        self.prompt = prompt
        self.stray: int | None = None
        """The position of a `|` that turns `[a:b:0.5]` and `[a|b]` into text; None if there is none."""
        self._turns: list[Turn] = []
        content = self._read()
        stray = self.stray is not None
        if stray and not self._turns:
            self.stray = None
        if stray:
            self._turns = []
        self._content: Content = [(0, len(prompt.text))] if stray else content

    @property
    def ways(self) -> int:
        """The number of readings; some of them may be equal."""
        fractions, steps, cycle = self._moments()
        return (len(fractions) + 1) * (len(steps) + 1) * cycle

    def _moments(self) -> tuple[list[Switch], list[Switch], int]:
        switches = {turn.switch for turn in self._turns if turn.switch is not None}
        fractions = sorted(switch for switch in switches if switch.fraction)
        steps = sorted(switch for switch in switches if not switch.fraction)
        return fractions, steps, math.lcm(*{len(turn.options) for turn in self._turns if not turn.switch})

    def texts(self) -> tuple[Timeline, list[Excerpt]]:
        """List the different texts of the prompt, and the timeline that selects one of them for each step.

        Raises:
            PromptError: there are more than 256 readings.
        """
        bounded([self])
        fractions, steps, cycle = self._moments()
        numbers: dict[str, int] = {}
        texts: list[Excerpt] = []
        table: list[int] = []
        for early, late, phase in product(range(len(fractions) + 1), range(len(steps) + 1), range(cycle)):
            excerpt = self._at(frozenset(fractions[:early] + steps[:late]), phase)
            if excerpt.text not in numbers:
                numbers[excerpt.text] = len(texts)
                texts.append(excerpt)
            table.append(numbers[excerpt.text])
        after = (switch.after for switch in fractions), (int(switch.after) for switch in steps)
        return Timeline(tuple(after[0]), tuple(after[1]), cycle, tuple(table)), texts

    def _at(self, passed: frozenset[Switch], step: int) -> Excerpt:
        spans, todo = [], self._content[::-1]
        while todo:
            piece = todo.pop()
            if isinstance(piece, Turn):
                todo += piece.pick(passed, step)[::-1]
            else:
                spans.append(piece)
        return self.prompt.keep(spans)

    def _read(self) -> Content:
        content: Content = []
        opened: list[_Open] = []
        for piece in _PIECE.finditer(self.prompt.text):
            sign = piece[0]
            if sign in {":", "|"} and opened:
                opened[-1].signs.append((sign, piece.start(), len(content)))
            elif sign == "|":
                self.stray = piece.start()
            elif sign in {"(", "["}:
                opened.append(_Open(sign, len(content)))
            elif sign in _OPENS and opened:
                bracket = opened[-1]
                signs = "".join(sign for sign, _, _ in bracket.signs)
                if bracket.kind == _OPENS[sign] and signs in ({"", ":"} if sign == ")" else {""}):
                    opened.pop()
                elif bracket.kind == _OPENS[sign] == "[" and self._turn(
                    bracket, signs, content, piece.start()
                ):
                    opened.pop()
                    continue
                else:
                    self._give_up(opened)
            content.append(piece.span())
        self._give_up(opened)
        return content

    def _turn(self, bracket: _Open, signs: str, content: Content, end: int) -> bool:
        """Replace the pieces of a complete `[ ]` by a `Turn` or its only option.

        Returns False, and replaces nothing, if the `[ ]` is neither a switch nor alternates.
        """
        cuts = [bracket.place, *(place for _, _, place in bracket.signs), len(content)]
        options = [content[cuts[i] + 1 : cuts[i + 1]] for i in range(len(cuts) - 1)]
        if ":" not in signs:
            turn = Turn(options)
        else:
            when = _NUMBER.fullmatch(self.prompt.text, bracket.signs[-1][1] + 1, end)
            if when is None or signs not in {":", "::"}:
                return False
            pair = [[], options[0]] if signs == ":" else options[:2]
            fraction, after = "." in when[1], min(float(when[1]), 1e9)
            if after < (1e-9 if fraction else 1) or (fraction and after >= 1):
                content[bracket.place :] = pair[
                    after < 1
                ]  # the switch is before the first step, or never happens
                return True
            turn = Turn(pair, Switch(fraction, after if fraction else float(int(after))))
        del content[bracket.place :]
        self._turns.append(turn)
        content.append(turn)
        return True

    def _give_up(self, opened: list[_Open]) -> None:
        """Treat all open brackets as text, because they are not closed correctly."""
        for bracket in opened:
            self.stray = next((at for sign, at, _ in bracket.signs if sign == "|"), self.stray)
        opened.clear()


def bounded(prompts: Sequence[Alternatives]) -> None:
    """Refuse prompts with too many or too long readings.

    Raises:
        PromptError: there are more than 256 readings, or they have more than 200,000 characters in all.
    """
    if sum(prompt.ways for prompt in prompts) > MOST:
        raise PromptError(
            f"This prompt changes to more than {MOST} different texts. Use fewer of [a:b:0.5], [a|b] and AND."
        )
    if sum(prompt.ways * len(prompt.prompt.text) for prompt in prompts if prompt.ways > 1) > _CHARACTERS:
        raise PromptError(
            f"The texts that this prompt changes to have more than {_CHARACTERS:,} characters in all."
            " Shorten it, or use fewer of [a:b:0.5] and [a|b]."
        )
