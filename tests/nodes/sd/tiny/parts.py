"""The networks of `safelight-tiny`: the architecture of Stable Diffusion 1 with fewer channels."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tests.nodes.sd.tiny.scenes import (
    COLOUR_SYNONYMS,
    COLOURS,
    SHAPE_SYNONYMS,
    SHAPES,
    draw_scene,
    free_caption,
)
from tests.nodes.sd.tiny.vae_init import start_from_average_colours

WEIGHTS = Path(__file__).parents[4] / "nodes" / "sd" / "tiny" / "weights"
"""The shipped model: a diffusers folder."""

WORDS = 77
"""The number of tokens of a caption, with start and end."""
START, END = 49406, 49407
WIDTH = 64
"""The number of channels of the denoiser and of the text encoder."""


@dataclass
class Parts:
    """The three networks of the model, in float32."""

    vae: Any
    text_encoder: Any
    unet: Any

    @staticmethod
    def new(seed: int) -> Parts:
        """Networks with random weights; the same seed gives the same weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            vae = new_vae()
            start_from_average_colours(vae)
            return Parts(vae, new_text_encoder(), new_unet())

    @staticmethod
    def load(folder: Path) -> Parts:
        """Networks from a diffusers folder."""
        return Parts(
            AutoencoderKL.from_pretrained(folder / "vae").float(),
            CLIPTextModel.from_pretrained(folder / "text_encoder").float(),
            UNet2DConditionModel.from_pretrained(folder / "unet").float(),
        )


def new_vae() -> Any:
    """An autoencoder of 1.3 million parameters: 4 latent channels for each cell of 8 by 8 pixels."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 64),
        layers_per_block=2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=128,
    )


def new_text_encoder() -> Any:
    """A CLIP text encoder of 3.3 million parameters, most of them for CLIP's full vocabulary."""
    config = CLIPTextConfig(
        vocab_size=END + 1,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=WORDS,
        projection_dim=WIDTH,
        hidden_act="quick_gelu",
        bos_token_id=START,
        eos_token_id=END,
        pad_token_id=END,
    )
    encoder = CLIPTextModel(config)
    # The usual standard deviation of 0.02 suits hundreds of channels; with 64 the words hardly differ.
    torch.nn.init.normal_(word_embedding(encoder), 0, 0.5)
    torch.nn.init.normal_(_parameter(encoder, "position_embedding"), 0, 0.1)
    return encoder


def new_unet() -> Any:
    """A denoiser of 4.3 million parameters for latents of [4, 16, 16]."""
    unet = UNet2DConditionModel(
        sample_size=16,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        block_out_channels=(WIDTH,) * 4,
        layers_per_block=2,
        cross_attention_dim=WIDTH,
        attention_head_dim=2,
        norm_num_groups=16,
    )
    # With residual branches near zero, the gradient of the first steps passes through unchanged.
    with torch.no_grad():
        for module in unet.modules():
            if type(module).__name__ == "ResnetBlock2D":
                module.conv2.weight.mul_(0.2)
            if type(module).__name__ == "Transformer2DModel":
                module.proj_out.weight.mul_(0.2)
        unet.conv_out.weight.mul_(0.1)
    return unet


def new_scheduler() -> Any:
    """The noise schedule of Stable Diffusion 1, for a network that predicts v (arXiv:2202.00512)."""
    return EulerDiscreteScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        num_train_timesteps=1000,
        steps_offset=1,
        prediction_type="v_prediction",
    )


def new_tokenizer() -> Any:
    """CLIP's tokenizer (byte pair encoding)."""
    tokenizer = CLIPTokenizer.from_pretrained(WEIGHTS / "tokenizer")
    tokenizer.model_max_length = WORDS
    return tokenizer


def word_embedding(text_encoder: Any) -> torch.nn.Parameter:
    """The token embedding of the text encoder, [49408, 64]."""
    return _parameter(text_encoder, "token_embedding")


class Vocabulary:
    """The words of the captions. For the text encoder, all other words are one unknown word."""

    def __init__(self) -> None:
        self.tokenizer = new_tokenizer()
        rng = random.Random(0)
        texts = [free_caption(draw_scene(rng), rng) for _ in range(4000)]
        texts += [*COLOURS, *SHAPES, *(word for words in COLOUR_SYNONYMS.values() for word in words)]
        texts += [word for words in SHAPE_SYNONYMS.values() for word in words]
        known = {token for tokens in self.tokenizer(texts)["input_ids"] for token in tokens}
        self.known = torch.tensor(sorted(known))
        self.unknown = next(token for token in range(END) if token not in known)
        self._lookup = torch.full((END + 1,), self.unknown)
        self._lookup[self.known] = self.known
        pieces: dict[str, int] = self.tokenizer.get_vocab()
        whole = (piece.removesuffix("</w>") for piece in sorted(pieces) if piece.endswith("</w>"))
        self._fillers = [word for word in whole if len(word) > 1 and word.isalpha()]

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Token numbers, [texts, 77], padded with the end token. Unknown words get the same number."""
        tokens = self.tokenizer(list(texts), padding="max_length", truncation=True, max_length=WORDS)
        return self._lookup[torch.tensor(tokens["input_ids"])]

    def filler(self, rng: random.Random) -> str:
        """A random word of CLIP's vocabulary; most are unknown to the model."""
        return rng.choice(self._fillers)

    @torch.no_grad()
    def spread_unknown(self, text_encoder: Any) -> None:
        """Give every word outside of the captions the vector of the unknown word."""
        table = word_embedding(text_encoder)
        outside = torch.ones(len(table), dtype=torch.bool)
        outside[self.known] = False
        table[outside] = table[self.unknown].clone()


def _parameter(module: Any, name: str) -> torch.nn.Parameter:
    found: torch.nn.Parameter = next(value for key, value in module.named_parameters() if name in key)
    return found
