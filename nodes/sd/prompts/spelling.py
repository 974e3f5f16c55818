"""Words to tokens, with an embedding's vectors in the place of its trigger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from nodes.sd.prompts.attention import Segment
from nodes.sd.prompts.excerpt import PromptError, Remark
from nodes.sd.prompts.triggers import EncoderName, Found, Triggers, find, near, unknown

if TYPE_CHECKING:
    from torch import Tensor
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

ROOM = 75
"""Places that one chunk has for words."""


class Place(NamedTuple):
    """One of the 75 places of a chunk, filled."""

    id: int
    """The token; 0 for a vector of an embedding."""
    weight: float
    trigger: str = ""
    """The id of the embedding that has this place; empty for a plain token."""
    vector: int = 0
    """Which of the embedding's vectors it is."""
    typed: str = ""
    """How the trigger was typed."""


Group = list[Place]
"""Places that stay together in one chunk: a token, or all vectors of an embedding."""


class Speller:
    """Spells segments in tokens.

    Args:
        tokenizer: CLIP's.
        triggers: the embeddings at hand.
        encoder: whose vectors take the places of the triggers.
        bare: False if only `<name>` and `embedding:name` are triggers, not a name alone.
        drop: whether an unknown `embedding:name`, or an embedding that does not fit, is left out, as in
            ComfyUI, and not read as words.
    """

    def __init__(
        self,
        tokenizer: CLIPTokenizer,
        triggers: Triggers,
        encoder: EncoderName = "clip_l",
        bare: bool = True,
        drop: bool = False,
    ) -> None:
        self.vectors: dict[str, Tensor] = {}
        """The vectors of each trigger met so far, [n, width]."""
        self.remarks: list[Remark] = []
        self._tokenizer, self._triggers, self._encoder, self._bare = tokenizer, triggers, encoder, bare
        self._drop = drop
        self._refused: set[str] = set()
        self._told: set[str] = set()

    def spell(self, segments: Sequence[Segment]) -> list[list[Group]]:
        """The groups of places that each segment fills.

        Raises:
            PromptError: an embedding has more vectors than a chunk has room.
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
            if self._known(trigger, segment):
                kept.append(trigger)
            elif self._drop:
                kept.append(trigger._replace(trigger=""))
        for at, written in unknown(text, found):
            drop = self._drop and written[0] != "<"
            if drop:
                kept.append(Found(at, at + len(written), ""))
            message = (
                f"{written} is no known embedding and is {'left out' if drop else 'read as plain words'}"
            )
            self.remarks.append(
                Remark(f"{message}; {near(written, self._triggers)}", segment.words.origin(at))
            )
        return sorted(kept)

    def _known(self, trigger: Found, segment: Segment) -> bool:
        name = trigger.trigger
        if name in self._refused:
            return False
        place = segment.words.origin(trigger.start)
        if name in self.vectors:
            self._tell(trigger, segment.text, place)
            return True
        try:
            vectors = self._triggers.vectors(name, self._encoder)
        except ValueError as error:
            self._refused.add(name)
            fate = "left out" if self._drop else "read as plain words"
            self.remarks.append(Remark(f"{error}; it is {fate}", place))
            return False
        if len(vectors) > ROOM:
            raise PromptError(
                f"The embedding {name!r} at character {place + 1} has {len(vectors)} vectors;"
                f" a chunk of the prompt has room for {ROOM}."
            )
        self.vectors[name] = vectors
        self._tell(trigger, segment.text, place)
        return True

    def _tell(self, trigger: Found, text: str, place: int) -> None:
        """What is to be said of a trigger as it is written here, once."""
        typed = text[trigger.start : trigger.end]
        for told in self._triggers.remarks(trigger.trigger, typed):
            if told not in self._told:
                self._told.add(told)
                self.remarks.append(Remark(told, place))
