"""Encodes prompts in InvokeAI's syntax, with the compel package and the model's text encoder."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pyparsing
import torch
from compel import Compel
from compel.embeddings_provider import SplitLongTextMode
from compel.prompt_parser import Blend, FlattenedPrompt, PromptParser
from torch import Tensor

from nodes.sd.models import text_encoder as texts
from nodes.sd.models.clip import ClipTextModel
from nodes.sd.models.tokenizer import ClipTokenizer
from nodes.sd.not_finite import NotFinite
from nodes.sd.prompts import dialects
from nodes.sd.prompts.attention import Segment
from nodes.sd.prompts.encoded import Encoded, Settings, token_table
from nodes.sd.prompts.excerpt import Excerpt, PromptError, PromptWarning
from nodes.sd.prompts.spelling import ROOM, Place, Speller
from nodes.sd.prompts.tags import Tag
from nodes.sd.prompts.timeline import PromptPart

LONGEST = 2_000
"""The greatest length of a prompt; compel's parser takes seconds for longer ones."""

DEEPEST = 20
"""The greatest depth of brackets that compel's parser supports."""

pyparsing.ParserElement.enable_packrat(
    4096
)  # without it, each further bracket makes parsing four times slower


def encode(prompt: str, tokenizer: ClipTokenizer, encoder: ClipTextModel, settings: Settings) -> Encoded:
    """Encode a prompt as InvokeAI does: long prompts are split at sentences, `<name>` is an embedding.

    Raises:
        PromptError: compel cannot read the prompt, or it is too long or too deeply nested for compel.
        ValueError: the text encoder cannot encode it; see `nodes.sd.models.text_encoder.read`.
    """
    warnings = list(dialects.foreign(prompt, "compel"))
    conjunction = _parsed(prompt)
    loras = conjunction.lora_weights
    if not conjunction.prompts:
        conjunction = _parsed("")  # compel cannot encode a prompt with only brackets or LoRAs
    speller = Speller(tokenizer, settings.triggers, settings.encoder, settings.bare)
    spelling = _Spelling(tokenizer, speller)
    reader = _Reader(encoder, spelling, settings)
    ours = Compel(
        spelling,
        reader,
        truncate_long_prompts=False,
        split_long_text_mode=SplitLongTextMode.SENTENCES,
        device=str(encoder.device),
    )
    try:
        rows, _, _ = ours.build_conditioning_tensor_for_conjunction(conjunction, return_tokenization=True)
    except RuntimeError as error:
        if not str(error).startswith(("couldn't find", "token sequence mismatch")):
            raise
        raise PromptError(f"compel cannot encode this prompt: {error}") from None
    chunks = _chunks(conjunction, ours, spelling)
    if any(written.wants_cross_attention_control for written in conjunction.prompts):
        warnings.append(PromptWarning(".swap() has no effect", 0))
    tags = [Tag("lora", lora.model, float(lora.weight), float(lora.weight)) for lora in loras]
    rows = rows.float().cpu()
    if not torch.isfinite(rows).all():
        raise NotFinite("The weights of this prompt give NaN or infinity. Use smaller ones.")
    pooled = None if reader.pooled is None else reader.pooled.float().cpu()
    return Encoded(
        (PromptPart((rows,), pooled=() if pooled is None else (pooled,)),),
        pooled,
        token_table(chunks, tokenizer),
        sum(map(len, chunks)),
        ROOM - len(chunks[-1]),
        tags,
        list(dict.fromkeys([*warnings, *speller.warnings])),
    )


def _parsed(prompt: str) -> Any:
    if len(prompt) > LONGEST:
        raise PromptError(
            f"This prompt has {len(prompt):,} characters; the dialect compel allows {LONGEST:,}."
        )
    depth = 0
    for sign in re.finditer(r"\\.|[()]", prompt, re.DOTALL):
        depth += (sign[0] == "(") - (sign[0] == ")")
        if depth > DEEPEST:
            at = sign.start() + 1
            raise PromptError(f"More than {DEEPEST} brackets are open at character {at}; close some.")
    try:
        conjunction = Compel.parse_prompt_string(prompt)
    except (pyparsing.ParseException, PromptParser.ParsingException, ValueError, RecursionError) as error:
        place = getattr(error, "loc", None)
        where = "" if place is None else f" at character {place + 1}"
        raise PromptError(f"compel cannot read this prompt{where}: {error}") from None
    for written in conjunction.prompts:
        for flat in written.prompts if isinstance(written, Blend) else [written]:
            # compel fails on the weight of an empty text, as in ""0.5.
            flat.children = [child for child in flat.children if getattr(child, "text", None) != ""]
    return conjunction


def _chunks(conjunction: Any, ours: Compel, spelling: _Spelling) -> list[list[Place]]:
    """List the tokens of all chunks with compel's weights; for a blend, those of its first prompt."""
    chunks = []
    for written in conjunction.prompts:
        flat = written.prompts[0] if isinstance(written, Blend) else written
        assert isinstance(flat, FlattenedPrompt)
        fragments = [piece for child in flat.children for piece in getattr(child, "original", [child])]
        provider = ours.conditioning_provider
        ids, weights, _ = provider.get_token_ids_and_expand_weights(
            [piece.text for piece in fragments], [piece.weight for piece in fragments], device="cpu"
        )
        for chunk, weight in zip(ids.split(texts.WINDOW), weights.split(texts.WINDOW), strict=True):
            end = chunk.tolist().index(spelling.eos_token_id)
            places = zip(chunk[1:end].tolist(), weight[1:end].tolist(), strict=True)
            chunks.append([spelling.place(token, weight) for token, weight in places])
    return chunks


class _Spelling:
    """A tokenizer with compel's interface that gives each vector of an embedding a token number."""

    def __init__(self, tokenizer: ClipTokenizer, speller: Speller) -> None:
        self.bos_token_id: int = tokenizer.bos_token_id
        self.eos_token_id: int = tokenizer.eos_token_id
        self.pad_token_id: int = tokenizer.pad_token_id
        self.model_max_length = texts.WINDOW
        self.first = len(tokenizer)
        """The first token number that stands for a vector."""
        self._tokenizer, self._speller = tokenizer, speller
        self._places: list[Place] = []
        self._numbers: dict[tuple[str, int], int] = {}

    def __call__(self, texts: list[str], **how: object) -> dict[str, list[list[int]]]:
        spelt = self._speller.spell([Segment(Excerpt(text), 1.0) for text in texts])
        rows = [[self._number(place) for group in groups for place in group] for groups in spelt]
        return {"input_ids": [[self.bos_token_id, *row, self.eos_token_id] for row in rows]}

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        """Return the texts of tokens, where an embedding is one word, so that compel does not split it."""
        plain: list[str] = self._tokenizer.convert_ids_to_tokens([min(id, self.first - 1) for id in ids])
        return [self._written(id) if id >= self.first else text for id, text in zip(ids, plain, strict=True)]

    def place(self, token: int, weight: float) -> Place:
        """Return the token of CLIP, or the vector of an embedding, that a token number stands for."""
        if token < self.first:
            return Place(token, weight)
        return self._places[token - self.first]._replace(weight=weight)

    def vectors(self, ids: list[int]) -> list[texts.Vectors]:
        """Return the vectors that replace tokens, with their places."""
        found = [(at, self._places[id - self.first]) for at, id in enumerate(ids) if id >= self.first]
        return [
            texts.Vectors(at, self._speller.vectors[place.trigger][place.vector :][:1]) for at, place in found
        ]

    def _number(self, place: Place) -> int:
        if not place.trigger:
            return place.id
        key = place.trigger, place.vector
        if key not in self._numbers:
            self._numbers[key] = self.first + len(self._places)
            self._places.append(place)
        return self._numbers[key]

    def _written(self, id: int) -> str:
        place = self._places[id - self.first]
        whole = place.vector == len(self._speller.vectors[place.trigger]) - 1
        return "vector</w>" if whole else "vector"


class _Reader:
    """A text encoder with compel's interface, which applies CLIP skip and embeddings."""

    dtype = torch.float32

    def __init__(self, encoder: ClipTextModel, spelling: _Spelling, settings: Settings) -> None:
        self.device = encoder.device
        self.pooled: Tensor | None = None
        self._encoder, self._spelling, self._settings = encoder, spelling, settings

    def __call__(self, ids: Tensor, mask: Tensor | None = None, **how: object) -> SimpleNamespace:
        vectors = self._spelling.vectors(ids[0].tolist())
        plain = ids.long().where(ids < self._spelling.first, 0)
        read = texts.read(
            self._encoder, plain, self._settings.clip_skip, vectors, mask=mask, norm=self._settings.norm
        )
        if self.pooled is None:
            self.pooled = read.pooled  # compel reads the prompt's first chunk first
        return SimpleNamespace(last_hidden_state=read.rows.float())
