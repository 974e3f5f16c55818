"""Converts the words of prompts to tokens, and triggers to the vectors of their embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from nodes.sd.families.family import EncoderName
from nodes.sd.prompts.attention import Segment
from nodes.sd.prompts.excerpt import PromptError, PromptWarning
from nodes.sd.prompts.triggers import Found, Triggers, find, hint_for, unknown

if TYPE_CHECKING:
    from torch import Tensor

    from nodes.sd.models.tokenizer import ClipTokenizer

ROOM = 75
"""The number of tokens in a chunk."""


class Place(NamedTuple):
    """One of the 75 tokens of a chunk: a token of CLIP, or a vector of an embedding."""

    id: int
    """The token; 0 for a vector of an embedding."""
    weight: float
    trigger: str = ""
    """The id of the embedding; empty for a token of CLIP."""
    vector: int = 0
    """The index of the vector in the embedding."""
    typed: str = ""
    """The trigger as it was typed."""


Group = list[Place]
"""Tokens that stay together in one chunk: a single token, or all vectors of an embedding."""


class Speller:
    """Converts the segments of a prompt to tokens.

    Args:
        tokenizer: the tokenizer of the text encoder.
        triggers: the loaded embeddings.
        encoder: the name of the text encoder, whose vectors of each embedding are used.
        bare: False if only `<name>` and `embedding:name` are triggers, and not a bare name.
        drop: True to leave out an unknown `embedding:name` and an embedding that does not fit, as ComfyUI
            does; False to read them as words.
    """

    def __init__(
        self,
        tokenizer: ClipTokenizer,
        triggers: Triggers,
        encoder: EncoderName = "clip_l",
        bare: bool = True,
        drop: bool = False,
    ) -> None:
        self.vectors: dict[str, Tensor] = {}
        """The vectors of each embedding used so far, [n, width]."""
        self.warnings: list[PromptWarning] = []
        self._tokenizer, self._triggers, self._encoder, self._bare = tokenizer, triggers, encoder, bare
        self._drop = drop
        self._refused: set[str] = set()
        self._warned: set[str] = set()

    def spell(self, segments: Sequence[Segment]) -> list[list[Group]]:
        """Tokenise each segment into groups that must not be split.

        Raises:
            PromptError: an embedding has more vectors than a chunk has tokens.
        """
        found = [self._find(segment) for segment in segments]
        words: list[str] = []
        for segment, triggers in zip(segments, found, strict=True):
            ends = [0, *(trigger.end for trigger in triggers)]
            starts = [*(trigger.start for trigger in triggers), len(segment.text)]
            words += [segment.text[end:start] for end, start in zip(ends, starts, strict=True)]
        ids = iter(self._ids(words))
        return [
            self._groups(segment, triggers, [next(ids) for _ in range(len(triggers) + 1)])
            for segment, triggers in zip(segments, found, strict=True)
        ]

    def _groups(self, segment: Segment, triggers: list[Found], ids: list[list[int]]) -> list[Group]:
        groups: list[Group] = [[Place(token, segment.weight)] for token in ids[0]]
        for trigger, after in zip(triggers, ids[1:], strict=True):
            if trigger.trigger:
                typed = segment.text[trigger.start : trigger.end]
                vectors = range(len(self.vectors[trigger.trigger]))
                groups.append(
                    [Place(0, segment.weight, trigger.trigger, vector, typed) for vector in vectors]
                )
            groups += [[Place(token, segment.weight)] for token in after]
        return groups

    def _ids(self, words: list[str]) -> list[list[int]]:
        if not any(words):
            return [[] for _ in words]
        ids: list[list[int]] = self._tokenizer(words, add_special_tokens=False, verbose=False).input_ids
        return ids

    def _find(self, segment: Segment) -> list[Found]:
        text = segment.text
        found = [
            trigger
            for trigger in find(text, self._triggers)
            if self._bare or text[trigger.start] == "<" or text.startswith("embedding:", trigger.start)
        ]
        kept = []
        for trigger in found:
            if self._usable(trigger, segment):
                kept.append(trigger)
            elif self._drop:
                kept.append(trigger._replace(trigger=""))
        for at, written in unknown(text, found):
            drop = self._drop and written[0] != "<"
            if drop:
                kept.append(Found(at, at + len(written), ""))
            outcome = "left out" if drop else "read as words"
            message = (
                f"{written} is not a loaded embedding and is {outcome}; {hint_for(written, self._triggers)}"
            )
            self.warnings.append(PromptWarning(message, segment.words.origin(at)))
        return sorted(kept)

    def _usable(self, trigger: Found, segment: Segment) -> bool:
        """Load the vectors of an embedding; return False, with a warning, if it does not fit the encoder.

        Raises:
            PromptError: the embedding has more vectors than a chunk has tokens.
        """
        name = trigger.trigger
        if name in self._refused:
            return False
        place = segment.words.origin(trigger.start)
        if name in self.vectors:
            self._warn(trigger, segment.text, place)
            return True
        try:
            vectors = self._triggers.vectors(name, self._encoder)
        except ValueError as error:
            self._refused.add(name)
            outcome = "left out" if self._drop else "read as words"
            self.warnings.append(PromptWarning(f"{error}; it is {outcome}", place))
            return False
        if len(vectors) > ROOM:
            raise PromptError(
                f"The embedding {name!r} at character {place + 1} has {len(vectors)} vectors;"
                f" a chunk of the prompt has room for {ROOM} tokens."
            )
        self.vectors[name] = vectors
        self._warn(trigger, segment.text, place)
        return True

    def _warn(self, trigger: Found, text: str, place: int) -> None:
        """Add the warnings about a trigger as typed, each only once."""
        typed = text[trigger.start : trigger.end]
        for message in self._triggers.warnings(trigger.trigger, typed):
            if message not in self._warned:
                self._warned.add(message)
                self.warnings.append(PromptWarning(message, place))
