"""Prompts as the UNet reads them: text to tokens, tokens to embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.models.clip.modeling_clip import CLIPTextModel
from transformers.models.clip.tokenization_clip import CLIPTokenizer

WINDOW = 77
"""Tokens that CLIP reads at once, its start and end tokens counted."""


@dataclass(frozen=True)
class Tokens:
    """A prompt in CLIP's vocabulary, cut or padded to one window."""

    ids: Tensor
    """int64 [1, 77]: start, words, end, then the end token again up to the window."""
    used: int
    """Words' tokens that found room, 75 at most."""
    overflow: str
    """The end of the prompt, as CLIP spells it, that found no room; empty as a rule."""


def tokenize(tokenizer: CLIPTokenizer, text: str) -> Tokens:
    """Spell a prompt in tokens, as `StableDiffusionPipeline.encode_prompt` of diffusers does."""
    words: list[int] = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
    room = WINDOW - 2
    kept, rest = words[:room], words[room:]
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    padding = [tokenizer.pad_token_id] * (room - len(kept))
    return Tokens(
        ids=torch.tensor([[start, *kept, end, *padding]]),
        used=len(kept),
        overflow=tokenizer.decode(rest) if rest else "",
    )


def encode(encoder: CLIPTextModel, ids: Tensor, clip_skip: int = 1) -> Tensor:
    """Read tokens with the text encoder.

    Args:
        encoder: the model's own text encoder.
        ids: int64 [batch, 77].
        clip_skip: which layer's output is taken, counted from the last, which is 1 (as in A1111; diffusers
            counts the layers left out, one less). The final layer norm follows whichever is taken.

    Returns:
        [batch, 77, width] in the encoder's dtype, on its device.

    Raises:
        ValueError: the encoder has no such layer, or the result is not finite.
    """
    layers = encoder.config.num_hidden_layers
    if not 1 <= clip_skip <= layers:
        raise ValueError(
            f"clip_skip is {clip_skip}; this text encoder has {layers} layers, so 1 to {layers}."
        )
    read = encoder(ids.to(encoder.device), output_hidden_states=clip_skip > 1)
    if clip_skip == 1:
        embeddings: Tensor = read.last_hidden_state
    else:
        embeddings = encoder.final_layer_norm(read.hidden_states[-clip_skip])
    if not torch.isfinite(embeddings).all():
        raise ValueError("The text encoder answered with NaN or infinity. Run it in float32.")
    return embeddings
