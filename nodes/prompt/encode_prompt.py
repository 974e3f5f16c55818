"""EncodePrompt: encodes a prompt with the text encoder of a model."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import Advanced, Range, Text
from nodes.node_problem import node_problem
from nodes.sd.families.known import family_named
from nodes.values import Conditioning, TextEncoder


class Prompted(NamedTuple):
    """An encoded prompt with its tokens and tags."""

    out: Conditioning
    tokens: Annotated[list[dict[str, Any]], Advanced]
    """One entry per token: `text`, `id`, `weight`, `chunk`, `position` (1 to 75), `trigger` (the embedding,
    if it is one), and the `part` (of AND) and `reading` (of a prompt that changes) that it belongs to."""
    used: Annotated[int, Advanced]
    """The number of tokens, in the longest reading."""
    left: Annotated[int, Advanced]
    """The number of tokens that still fit into the last chunk of 75."""
    tags: Annotated[list[dict[str, Any]], Advanced]
    """The `<lora:…>` and `<hypernet:…>` tags, which are removed from the prompt: `kind`, `name`, `unet` and
    `text` (weights), `rank`, `blocks`. Connect them to `more` of ApplyLoRA to apply the LoRAs."""


class EncodePrompt(
    Node,
    category="prompt",
    version=2,
    accelerator=True,
    libraries=("torch", "transformers", "tokenizers", "compel"),
    aliases=("CLIPTextEncode",),
):
    """Encode a prompt with the text encoder."""

    encoder: TextEncoder
    prompt: Text = ""
    """What the picture should show, in words. Prompts of more than 75 tokens are encoded in chunks of 75. For
    FLUX.1, T5 reads up to 512 tokens (schnell: 256) at once."""
    dialect: Annotated[Literal["a1111", "comfy", "compel", "plain"], Advanced] = "a1111"
    """The prompt syntax. `a1111`: (x:1.2), [x], [a:b:0.5], [a|b], AND, BREAK and <lora:x:1>. `comfy`:
    (x:1.2). `compel` (InvokeAI): x++ and (x)1.2. `plain`: no syntax; brackets and numbers are ordinary
    words."""
    emphasis: Annotated[Literal["original", "no_norm", "ignore"], Advanced] = "original"
    """The effect of weights such as (x:1.2) in the dialect `a1111`. `original` restores the mean of each
    chunk, as A1111 does by default; `no_norm` does not, so weights act more strongly; `ignore` ignores
    weights."""
    clip_skip: Annotated[int, Range(1, 12), Advanced] = 1
    """The layer of the text encoder whose output is used (CLIP skip), counted from the last, 1 to 12. 1 is
    usual; 2 suits models trained that way, such as most anime models. The embedded model is trained for 1.
    SD 2 and SDXL are trained for layer 2, which 1 means there, too."""
    backtrack: Annotated[int, Range(0, 74), Advanced] = 20
    """How far before the end of a full chunk the dialect `a1111` looks for a comma to split at, 0 to 74
    tokens. 0: chunks are always split after 75 tokens."""
    negative: Annotated[bool, Advanced] = False
    """Turn on for a negative prompt: AND and a weight at the very end are then read as words. For SDXL, an
    empty one then gives zeros, as in A1111 and InvokeAI, except in the dialect `comfy`; a model folder may
    say otherwise (`force_zeros_for_empty_prompt`)."""
    bare_names: Annotated[bool, Advanced] = True
    """Whether the bare name of an embedding invokes it. Off: only `<name>` and `embedding:name` do, as always
    in the dialect `comfy`."""
    comments: Annotated[bool, Advanced] = False
    """Whether `#` begins a comment to the end of the line in the dialect `a1111` (A1111 since 1.8)."""

    def run(self, ctx: Context) -> Prompted:
        from nodes.sd.prompts.encoded import Settings
        from nodes.sd.prompts.encoding import context_shape, encode_with_all
        from nodes.sd.prompts.tags import without_effect

        checkpoint = self.encoder.checkpoint
        family = family_named(checkpoint.family)
        settings = Settings(
            dialect=self.dialect,
            emphasis=self.emphasis,
            clip_skip=self.clip_skip,
            backtrack=self.backtrack,
            negative=self.negative,
            bare=self.bare_names,
            comments=self.comments,
            triggers=self.encoder.triggers(ctx.files),
            zeros=self.negative and self.dialect != "comfy" and checkpoint.empty_negative_is_zeros,
        )
        encoders = ctx.use(self.encoder)
        try:
            with node_problem():
                shape = context_shape(family, dict(checkpoint.text_widths), checkpoint.context_width)
                read = encode_with_all(self.prompt, encoders, settings, shape)
        except ModuleNotFoundError as error:
            if error.name not in {"compel", "pyparsing"}:
                raise
            raise NodeError(
                "the dialect `compel` needs the Python package compel, which is not installed",
                hint="pip install 'safelight[compel]'",
                input="dialect",
                code="not_installed",
            ) from None
        for warning in read.warnings:
            ctx.warn(str(warning))
        for tag in dict.fromkeys(read.tags):
            ctx.warn(without_effect(tag))
        first = read.parts[0]
        plain = len(read.parts) == 1 and len(first.encodings) == 1 and first.weight == 1
        words = tuple(token["text"] for token in read.tokens if token["part"] == token["reading"] == 0)
        out = Conditioning(first.encodings[0], read.used, () if plain else read.parts, read.pooled, words)
        return Prompted(out, read.tokens, read.used, read.left, [tag.as_json() for tag in read.tags])

    @classmethod
    def upgrade(cls, inputs: dict[str, Any], version: int) -> dict[str, Any]:
        """Convert the inputs of version 1, which had no `dialect` and read prompts without syntax."""
        return {"dialect": "plain", **inputs} if version < 2 else inputs
