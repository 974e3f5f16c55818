"""EncodePrompt: from words to what the model reads."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import Range, Text
from nodes.explained import explained
from nodes.values import Conditioning, TextEncoder


class Prompted(NamedTuple):
    """A prompt as the model reads it, and what became of its words."""

    out: Conditioning
    tokens: list[dict[str, Any]]
    """What the model sees, place by place: `text`, `id`, `weight`, `chunk`, `position`, `trigger`, and the
    `part` (of AND) and `reading` (of what changes) that it belongs to."""
    used: int
    """How many places the longest reading fills."""
    left: int
    """How many places are left in its last chunk of 75."""
    tags: list[dict[str, Any]]
    """The `<lora:…>` and `<hypernet:…>` tags that were cut out: `kind`, `name`, `unet`, `text`, `rank`."""


class EncodePrompt(
    Node,
    category="prompt",
    version=2,
    accelerator=True,
    libraries=("torch", "transformers", "tokenizers", "compel"),
):
    """Turn a prompt into what the model reads."""

    encoder: TextEncoder
    prompt: Text = ""
    """What to picture, in words. More than 75 tokens make several chunks, which are read one by one."""
    dialect: Literal["a1111", "comfy", "compel", "plain"] = "a1111"
    """Whose syntax it is: `a1111` knows (x:1.2), [x], [a:b:0.5], [a|b], AND, BREAK and <lora:x:1>; `comfy`
    knows (x:1.2); `compel` is InvokeAI's x++ and (x)1.2; to `plain` every sign is a word."""
    emphasis: Literal["original", "no_norm", "ignore"] = "original"
    """How the weights of `a1111` act: `original` keeps the mean of each chunk as it was, `no_norm` does not,
    `ignore` reads the words without their weights."""
    clip_skip: Annotated[int, Range(1, 12)] = 1
    """Which layer of the text encoder is listened to, counted from the last; 1 is usual, 2 for anime."""
    backtrack: Annotated[int, Range(0, 74)] = 20
    """How many tokens `a1111` moves to the next chunk at most, to end one at a comma; 0 never moves any."""
    negative: bool = False
    """On for a negative prompt: there, AND and a weight at the very end are plain words to `a1111`."""
    bare_names: bool = True
    """Whether an embedding's name alone is its trigger; off, only `<name>` and `embedding:name` are. `comfy`
    always asks for these."""

    def run(self, ctx: Context) -> Prompted:
        from nodes.sd.prompts.encoding import Settings, encode

        settings = Settings(
            dialect=self.dialect,
            emphasis=self.emphasis,
            clip_skip=self.clip_skip,
            backtrack=self.backtrack,
            negative=self.negative,
            bare=self.bare_names,
            triggers=self.encoder.triggers(ctx.files),
        )
        tokenizer, encoder = ctx.use(self.encoder)
        try:
            with explained():
                read = encode(self.prompt, tokenizer, encoder, settings)
        except ModuleNotFoundError as error:
            if error.name not in {"compel", "pyparsing"}:
                raise
            raise NodeError(
                "the dialect `compel` needs the package compel, which is not installed",
                hint="pip install 'safelight[compel]'",
                input="dialect",
                code="not_installed",
            ) from None
        for remark in read.remarks:
            ctx.warn(str(remark))
        for tag in dict.fromkeys(read.tags):
            ctx.warn(
                f"{tag} changes nothing here: take model, encoder and prompt through ApplyTags first, or wire"
                " `tags` into ApplyLoRA"
            )
        first = read.parts[0]
        plain = len(read.parts) == 1 and len(first.encodings) == 1 and first.weight == 1
        out = Conditioning(first.encodings[0], read.used, () if plain else read.parts, read.pooled)
        return Prompted(out, read.tokens, read.used, read.left, [tag.as_json() for tag in read.tags])

    @classmethod
    def upgrade(cls, inputs: dict[str, Any], version: int) -> dict[str, Any]:
        """Version 1 read every sign as a word."""
        return {"dialect": "plain", **inputs} if version < 2 else inputs
