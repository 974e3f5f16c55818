"""Encodes a prompt: converts the typed text to the tensors that the UNet reads at each step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nodes.sd.families.family import EncoderName, EncoderRole, Family
from nodes.sd.models import text_encoder as texts
from nodes.sd.models.loaded_encoder import LoadedEncoder
from nodes.sd.not_finite import NotFinite
from nodes.sd.prompts import dialects, emphasis, t5
from nodes.sd.prompts.chunks import Chunk
from nodes.sd.prompts.encoded import Encoded, Settings, token_table
from nodes.sd.prompts.excerpt import PromptError
from nodes.sd.prompts.spelling import ROOM, Speller
from nodes.sd.prompts.timeline import PromptPart
from nodes.sd.prompts.tokens import check_characters, speller_for, tokenized


class ContextShape(NamedTuple):
    """The shape of the text embeddings of a family with outputs along the tokens (SD 3, FLUX.1)."""

    width: int
    """The width that the model reads; narrower outputs are padded with zeros."""
    missing: int
    """The number of tokens of optional text encoders that the model lacks; their rows are zeros."""


def context_shape(family: Family, present: Iterable[EncoderName], width: int) -> ContextShape | None:
    """Return the shape of a model's text embeddings; None if its outputs are joined only along the width.

    Args:
        family: the model family.
        present: the text encoders that the model has.
        width: the width of the text embeddings that the model reads.
    """
    known = set(present)
    others = [role for role in family.roles if role.along == "tokens"]
    if not others:
        return None
    return ContextShape(width, sum(role.length for role in others if role.name not in known))


def encode_with_all(
    prompt: str,
    encoders: Sequence[LoadedEncoder],
    settings: Settings | None = None,
    shape: ContextShape | None = None,
) -> Encoded:
    """Encode a prompt with all text encoders of a model, and join their outputs.

    Args:
        prompt: the prompt.
        encoders: the text encoders, in the order of the family.
        settings: the settings for parsing and encoding.
        shape: the shape of the text embeddings; see `context_shape`.

    Raises:
        PromptError, ValueError, ModuleNotFoundError: as `encode`.
    """
    settings = settings or Settings()
    outputs = [
        encode(
            prompt,
            tokenizer,
            encoder,
            replace(
                settings,
                encoder=role.name,
                norm=role.norm,
                pooled=role.pooled,
                clip_skip=role.layer(settings.clip_skip),
                **_window(role, settings),
            ),
        )
        for role, tokenizer, encoder in encoders
    ]
    by_axis: dict[str | None, list[Encoded]] = {"width": [], "tokens": [], None: []}
    for output, loaded in zip(outputs, encoders, strict=True):
        by_axis[loaded.role.along].append(output)
    encoded = joined(by_axis["width"] or by_axis[None])
    if shape is not None:
        encoded = _extended(encoded, by_axis["tokens"], shape, has_rows=bool(by_axis["width"]))
    return _zeroed(encoded) if settings.zeros and not prompt.strip() else encoded


def _window(role: EncoderRole, settings: Settings) -> dict[str, Any]:
    """Return the settings for the number of tokens that a text encoder reads at once."""
    if settings.dialect == "comfy" and role.comfy_length is not None:
        return {"whole": role.comfy_length, "grows": True}
    return {"whole": role.length if role.along == "tokens" else None, "grows": False}


def _extended(
    encoded: Encoded, outputs: Sequence[Encoded], shape: ContextShape, *, has_rows: bool
) -> Encoded:
    """Pad the rows of CLIP to the context width, and append those of T5, or zeros if it is missing.

    As in StableDiffusion3Pipeline of diffusers, and without the rows of CLIP as in FluxPipeline.
    """
    parts = []
    for number, part in enumerate(encoded.parts):
        encodings = []
        for reading, rows in enumerate(part.encodings):
            padded = [torch.nn.functional.pad(rows, (0, shape.width - rows.shape[-1]))] if has_rows else []
            more = [output.parts[number].encodings[reading] for output in outputs]
            zeros = torch.zeros(1, shape.missing, shape.width)
            encodings.append(torch.cat([*padded, *more, zeros], 1))
        parts.append(part._replace(encodings=tuple(encodings)))
    warnings = dict.fromkeys(warning for output in (encoded, *outputs) for warning in output.warnings)
    if not has_rows:
        encoded = encoded._replace(used=outputs[0].used, left=outputs[0].left)
    return encoded._replace(parts=tuple(parts), warnings=list(warnings))


def _zeroed(encoded: Encoded) -> Encoded:
    """Replace all rows and pooled vectors by zeros."""
    parts = [
        part._replace(
            encodings=tuple(map(torch.zeros_like, part.encodings)),
            pooled=tuple(map(torch.zeros_like, part.pooled)),
        )
        for part in encoded.parts
    ]
    pooled = None if encoded.pooled is None else torch.zeros_like(encoded.pooled)
    return encoded._replace(parts=tuple(parts), pooled=pooled)


def joined(outputs: Sequence[Encoded]) -> Encoded:
    """Join the outputs of several text encoders for one prompt along the width.

    If an embedding has vectors for one encoder only, the longer output is cut to the shorter, as in ComfyUI.
    Pooled vectors are joined, too; not every encoder has one.
    """
    first, *others = outputs
    if not others:
        return first
    parts = []
    for alike in zip(*(output.parts for output in outputs), strict=True):
        encodings = [
            torch.cat([rows[:, : min(one.shape[1] for one in readings)] for rows in readings], -1)
            for readings in zip(*(part.encodings for part in alike), strict=True)
        ]
        vectors = [part.pooled for part in alike if part.pooled]
        pooled = tuple(torch.cat(readings, -1) for readings in zip(*vectors, strict=True))
        parts.append(alike[0]._replace(encodings=tuple(encodings), pooled=pooled))
    warnings = dict.fromkeys(warning for output in outputs for warning in output.warnings)
    pooled_first = parts[0].pooled[0] if parts[0].pooled else None
    return first._replace(parts=tuple(parts), pooled=pooled_first, warnings=list(warnings))


def encode(prompt: str, tokenizer: Any, encoder: Any, settings: Settings | None = None) -> Encoded:
    """Encode a prompt with a text encoder, CLIP or T5, and its tokenizer.

    Raises:
        PromptError: the prompt cannot be parsed.
        ValueError: the text encoder cannot encode it; see `nodes.sd.models.text_encoder.read`.
        ModuleNotFoundError: the dialect is `compel`, and compel is not installed.
    """
    settings = settings or Settings()
    check_characters(prompt)
    if settings.dialect == "compel" and settings.whole is not None:
        raise PromptError("The dialect compel cannot write for the text encoder T5. Use another dialect.")
    if settings.dialect == "compel":
        from nodes.sd.prompts.compel import encode as with_compel

        return with_compel(prompt, tokenizer, encoder, settings)
    if settings.whole is not None:
        written = dialects.read(
            prompt, settings.dialect, negative=settings.negative, comments=settings.comments
        )
        return t5.encode(written, encoder, speller_for(tokenizer, settings), settings, settings.whole)
    tokens = tokenized(prompt, tokenizer, settings)
    reader = _Reader(tokenizer, encoder, tokens.speller, settings)
    parts, table = [], []
    for number, (part, readings) in enumerate(zip(tokens.written.parts, tokens.chunks, strict=True)):
        for reading, found in enumerate(readings):
            table += token_table(found, tokenizer, number, reading)
        encodings = tuple(torch.cat([reader.weighted(chunk) for chunk in found], 1) for found in readings)
        vectors = (reader.read(found[0]).pooled for found in readings)
        found_vectors = tuple(vector.float().cpu() for vector in vectors if vector is not None)
        parts.append(PromptPart(encodings, part.timeline, part.weight, found_vectors))
    longest = tokens.longest
    used, left = sum(map(len, longest)), ROOM - len(longest[-1])
    pooled = parts[0].pooled[0] if parts[0].pooled else None
    return Encoded(tuple(parts), pooled, table, used, left, tokens.written.tags, tokens.warnings)


class _Reader:
    """Encodes chunks with one text encoder. Equal chunks are encoded only once."""

    def __init__(self, tokenizer: Any, encoder: Any, speller: Speller, settings: Settings) -> None:
        self._tokenizer, self._encoder, self._speller = tokenizer, encoder, speller
        self._settings = settings
        self._known: dict[tuple[tuple[int, str, int], ...], texts.EncoderOutput] = {}

    def read(self, chunk: Chunk) -> texts.EncoderOutput:
        """Encode a chunk without its weights; return float32 rows and the pooled vector."""
        key = tuple((place.id, place.trigger, place.vector) for place in chunk)
        if key not in self._known:
            vectors = [
                texts.Vectors(1 + at, self._speller.vectors[place.trigger])
                for at, place in enumerate(chunk)
                if place.trigger and place.vector == 0
            ]
            ids = texts.window(self._tokenizer, [place.id for place in chunk])
            read = texts.read(
                self._encoder,
                ids,
                self._settings.clip_skip,
                vectors,
                norm=self._settings.norm,
                pooled=self._settings.pooled,
            )
            self._known[key] = texts.EncoderOutput(read.rows.float(), read.pooled)
        return self._known[key]

    def weighted(self, chunk: Chunk) -> Tensor:
        """Encode a chunk and apply its weights: float32 [1, 77, width], on the CPU."""
        rows = self.read(chunk).rows
        weights = torch.ones(texts.WINDOW, device=rows.device)
        weights[1 : 1 + len(chunk)] = torch.tensor([place.weight for place in chunk], device=rows.device)
        if self._settings.dialect != "comfy":
            rows = emphasis.scaled(rows, weights, self._settings.emphasis)
        elif not bool((weights == 1).all()):
            rows = emphasis.drawn_from(self.read([]).rows, rows, weights)
        if not torch.isfinite(rows).all():
            raise NotFinite("The weights of this prompt give NaN or infinity. Use smaller ones.")
        return rows.cpu()
