"""Makes the initial vectors of an embedding from a text, by A1111's rule."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nodes.sd.models.tokenizer import ClipTokenizer


def initial_vectors(tokenizer: ClipTokenizer, encoder: Any, text: str, count: int) -> Tensor:
    """Take the vectors of a text's tokens from a text encoder: float32 [count, width] on its device.

    Of the T tokens of the text, vector i is token floor(i * T / count), so that 2 tokens in 4 vectors give
    a, a, b, b. A longer text is cut to `count` tokens. An empty text gives zeros.

    Args:
        tokenizer: the tokenizer of the encoder.
        encoder: a CLIP text encoder.
        text: ordinary words.
        count: the number of vectors; 0 for as many as the text has tokens.

    Raises:
        ValueError: `count` is 0, and the text is empty or has more than 75 tokens.
    """
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
    if count == 0 and not 1 <= len(ids) <= 75:
        raise ValueError(f"The initial text has {len(ids)} tokens. Set the number of vectors to 1 to 75.")
    count = count or len(ids)
    rows = encoder.get_input_embeddings().weight
    if not ids:
        return torch.zeros(count, rows.shape[1], device=rows.device)
    ids = ids[:count]
    chosen = [ids[i * len(ids) // count] for i in range(count)]
    vectors: Tensor = rows[torch.tensor(chosen, device=rows.device)].detach().float().clone()
    return vectors
