"""EncodePrompt: from words to what the model reads."""

from __future__ import annotations

import re
import textwrap
from typing import Annotated

from engine.context import Context
from engine.node import Node
from engine.widgets import Range, Text
from nodes.explained import explained
from nodes.values import Conditioning, TextEncoder

_WEIGHTED = re.compile(r"\([^()]*:\s*[\d.]+\s*\)|<\w+:[^>]*>|\bBREAK\b")
"""What other tools give a meaning to."""


class EncodePrompt(
    Node, category="prompt", accelerator=True, libraries=("torch", "transformers", "tokenizers")
):
    """Turn a prompt into what the model reads."""

    encoder: TextEncoder
    prompt: Text = ""
    """What to picture, in words; 75 tokens are read, and you are told of what is cut off."""
    clip_skip: Annotated[int, Range(1, 12)] = 1
    """Which layer of the text encoder is listened to, counted from the last; 1 is usual, 2 for anime."""

    def run(self, ctx: Context) -> Conditioning:
        from nodes.sd.text import encode, tokenize

        tokenizer, encoder = ctx.use(self.encoder)
        with explained():
            tokens = tokenize(tokenizer, self.prompt)
            if tokens.overflow:
                cut = textwrap.shorten(tokens.overflow, 80, placeholder=" …")
                ctx.warn(f"only 75 tokens are read; cut off: {cut!r}")
            if _WEIGHTED.search(self.prompt):
                ctx.warn("weights such as (x:1.3), BREAK and <lora:x:1> are read as plain words for now")
            embeddings = encode(encoder, tokens.ids, self.clip_skip)
        return Conditioning(embeddings.float().cpu(), tokens.used)
