"""The settings for encoding a prompt, and its result: tensors, a table of tokens, and warnings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from nodes.sd.families.family import EncoderName
from nodes.sd.prompts.chunks import Chunk
from nodes.sd.prompts.dialects import Dialect
from nodes.sd.prompts.excerpt import PromptWarning
from nodes.sd.prompts.tags import Tag
from nodes.sd.prompts.timeline import PromptPart
from nodes.sd.prompts.triggers import NoTriggers, Triggers

if TYPE_CHECKING:
    from torch import Tensor

    from nodes.sd.models.tokenizer import ClipTokenizer
    from nodes.sd.prompts.emphasis import Emphasis


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings for parsing and encoding prompts."""

    dialect: Dialect = "a1111"
    emphasis: Emphasis = "original"
    """The effect of weights in the dialect `a1111`; see `emphasis.scaled`."""
    clip_skip: int = 1
    """The layer of the text encoder whose output is used, counted from the last, which is 1."""
    backtrack: int = 20
    """How many tokens before the end of a full chunk `a1111` looks for a comma."""
    negative: bool = False
    """True to read AND and a weight at the end as words, as in A1111's negative prompt."""
    comments: bool = False
    """True if `#` begins a comment in the dialect `a1111`."""
    bare: bool = True
    """True if the bare name of an embedding is a trigger."""
    triggers: Triggers = field(default_factory=NoTriggers)
    encoder: EncoderName = "clip_l"
    norm: bool = True
    """True to apply the final layer norm to an earlier layer, too: True in SD 1, False in SDXL."""
    pooled: bool = False
    """True if the model reads the pooled vector of an encoder without a projection."""
    whole: int | None = None
    """The number of tokens that T5 reads; None for CLIP, which reads a prompt in chunks."""
    grows: bool = False
    """True if T5 reads longer prompts, too, and `whole` is the number for shorter ones."""
    zeros: bool = False
    """True to encode an empty prompt as zeros, as for a negative prompt in SDXL."""


class Encoded(NamedTuple):
    """An encoded prompt, its token table and warnings."""

    parts: tuple[PromptPart, ...]
    pooled: Tensor | None
    """float32 [1, width], for the first chunk of the first reading; None if the model reads none."""
    tokens: list[dict[str, Any]]
    """One entry per token: `text`, `id`, `weight`, `chunk`, `position` (1 to 75), `trigger`, and the `part`
    and `reading` of the prompt that it belongs to."""
    used: int
    """The number of tokens of the longest reading."""
    left: int
    """The number of tokens that still fit into the last chunk of that reading."""
    tags: list[Tag]
    warnings: list[PromptWarning]


def token_table(
    found: list[Chunk], tokenizer: ClipTokenizer, part: int = 0, reading: int = 0
) -> list[dict[str, Any]]:
    """List the tokens of all chunks as JSON, in order; see `Encoded.tokens`."""
    return [
        {
            "text": place.typed or tokenizer.decode([place.id]),
            "id": place.id,
            "weight": place.weight,
            "chunk": number,
            "position": position,
            "trigger": place.trigger,
            "part": part,
            "reading": reading,
        }
        for number, chunk in enumerate(found)
        for position, place in enumerate(chunk, start=1)
    ]
