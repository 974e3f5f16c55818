"""The text encoders and tokenizers of transformers, as oracles for Safelight's own."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection
from transformers.models.clip.tokenization_clip import CLIPTokenizer

from nodes.sd.models.clip import ClipTextModel, ClipTextModelWithProjection


def encoder_of(ours: Any) -> Any:
    """The class of transformers with the weights of one of our text encoders. T5 is theirs anyway."""
    if not isinstance(ours, ClipTextModel | ClipTextModelWithProjection):
        return ours
    kind = CLIPTextModel if isinstance(ours, ClipTextModel) else CLIPTextModelWithProjection
    made = kind(CLIPTextConfig(**asdict(ours.config))).to(ours.dtype).eval().requires_grad_(False)
    made.load_state_dict(ours.state_dict())
    return made


def tokenizer_of(folder: Path, pad: str | None = None) -> CLIPTokenizer:
    """The tokenizer that transformers reads from a folder, as text encoders read its tokens."""
    made: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=77)
    if pad is not None:
        made.pad_token = pad
    return made
