"""InvokeAI's dialect, parsed and encoded by the compel package itself, around our text encoder."""

from __future__ import annotations

import re
from typing import Any

import pyparsing
import torch
from compel import Compel
from compel.embeddings_provider import SplitLongTextMode
from compel.prompt_parser import Blend, FlattenedPrompt, PromptParser
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.clip.modeling_clip import CLIPTextModel
from transformers.models.clip.tokenization_clip import CLIPTokenizer

from nodes.sd import text as texts
from nodes.sd.prompts import dialects
from nodes.sd.prompts.attention import Segment
from nodes.sd.prompts.encoding import Encoded, Settings, told
from nodes.sd.prompts.excerpt import Excerpt, PromptError, Remark
from nodes.sd.prompts.spelling import ROOM, Place, Speller
from nodes.sd.prompts.tags import Tag
from nodes.sd.prompts.timeline import PromptPart

LONGEST = 2_000
"""Characters of a prompt; compel's parser takes seconds for more."""

DEEPEST = 20
"""Brackets within brackets; compel's parser goes no deeper."""

pyparsing.ParserElement.enable_packrat(4096)  # without it, each bracket more makes parsing four times as slow


def encode(prompt: str, tokenizer: CLIPTokenizer, encoder: CLIPTextModel, settings: Settings) -> Encoded:
    """Read a prompt as InvokeAI does: long ones are cut at sentences, `<name>` is an embedding.

    Raises:
        PromptError: compel cannot read the prompt, or it is too long or too deep for compel.
        ValueError: the encoder cannot do what is asked; see `nodes.sd.text.read`.
    """
    remarks = list(dialects.foreign(prompt, "compel"))
    conjunction = _parsed(prompt)
    loras = conjunction.lora_weights
    if not conjunction.prompts:
        conjunction = _parsed("")  # nothing but brackets or LoRAs, which compel cannot encode
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
        remarks.append(Remark(".swap() is read, and changes nothing: compel does not draw it", 0))
    tags = [Tag("lora", lora.model, float(lora.weight), float(lora.weight)) for lora in loras]
    rows = rows.float().cpu()
    if not torch.isfinite(rows).all():
        raise ValueError("The weights of this prompt lead to NaN or infinity. Use smaller ones.")
    pooled = reader.pooled
    return Encoded(
        (PromptPart((rows,)),),
        None if pooled is None else pooled.float().cpu(),
        told(chunks, tokenizer),
        sum(map(len, chunks)),
        ROOM - len(chunks[-1]),
        tags,
        list(dict.fromkeys([*remarks, *speller.remarks])),
    )


def _parsed(prompt: str) -> Any:
    if len(prompt) > LONGEST:
        raise PromptError(
            f"This prompt is {len(prompt):,} characters long; compel reads {LONGEST:,} at most."
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
            # Words of no length, as in ""0.5, say nothing, and compel stumbles over their weight.
            flat.children = [child for child in flat.children if getattr(child, "text", None) != ""]
    return conjunction


def _chunks(conjunction: Any, ours: Compel, spelling: _Spelling) -> list[list[Place]]:
    """The places of all chunks, with compel's weights; of a blend, those of its first prompt."""
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
    """A tokenizer, as compel asks for it, that spells each vector of an embedding as a token of its own."""

    def __init__(self, tokenizer: CLIPTokenizer, speller: Speller) -> None:
        self.bos_token_id: int = tokenizer.bos_token_id
        self.eos_token_id: int = tokenizer.eos_token_id
        self.pad_token_id: int = tokenizer.pad_token_id
        self.model_max_length = texts.WINDOW
        self.first = len(tokenizer)
        """From this number on, tokens stand for vectors."""
        self._tokenizer, self._speller = tokenizer, speller
        self._places: list[Place] = []
        self._numbers: dict[tuple[str, int], int] = {}

    def __call__(self, texts: list[str], **how: object) -> dict[str, list[list[int]]]:
        spelt = self._speller.spell([Segment(Excerpt(text), 1.0) for text in texts])
        rows = [[self._number(place) for group in groups for place in group] for groups in spelt]
        return {"input_ids": [[self.bos_token_id, *row, self.eos_token_id] for row in rows]}

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        """Tokens as CLIP writes them; an embedding's last vector ends a word, so that it is never parted."""
        plain: list[str] = self._tokenizer.convert_ids_to_tokens([min(id, self.first - 1) for id in ids])
        return [self._written(id) if id >= self.first else text for id, text in zip(ids, plain, strict=True)]

    def place(self, token: int, weight: float) -> Place:
        """What a token stands for."""
        if token < self.first:
            return Place(token, weight)
        return self._places[token - self.first]._replace(weight=weight)

    def vectors(self, ids: list[int]) -> list[texts.Vectors]:
        """The vectors that take the places of tokens."""
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
    """A text encoder, as compel asks for it, at our clip skip and with embeddings."""

    dtype = torch.float32

    def __init__(self, encoder: CLIPTextModel, spelling: _Spelling, settings: Settings) -> None:
        self.device = encoder.device
        self.pooled: Tensor | None = None
        self._encoder, self._spelling, self._settings = encoder, spelling, settings

    def __call__(self, ids: Tensor, mask: Tensor | None = None, **how: object) -> BaseModelOutputWithPooling:
        vectors = self._spelling.vectors(ids[0].tolist())
        plain = ids.long().where(ids < self._spelling.first, 0)
        read = texts.read(
            self._encoder, plain, self._settings.clip_skip, vectors, mask=mask, norm=self._settings.norm
        )
        if self.pooled is None:
            self.pooled = read.pooled  # compel reads the prompt's first chunk first
        return BaseModelOutputWithPooling(last_hidden_state=read.rows.float())
