"""Small models of every family, with random weights and the structure of real ones."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.t5.tokenization_t5 import T5Tokenizer

from nodes.sd.families.family import Component, Family
from nodes.sd.families.known import family_named
from nodes.sd.formats.json_file import read_object
from nodes.sd.models import saved, weights
from nodes.sd.models.checkpoint_file import VOCABULARY
from nodes.sd.models.files import ModelFiles
from nodes.sd.sampling.names import Prediction

WIDTH = 32
"""The width of each text encoder."""
_TEXT = {
    "hidden_size": WIDTH,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "projection_dim": 24,
}

PIECES = [
    *(("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)),
    *((letter, -6.0) for letter in "abcdefghijklmnopqrstuvwxyz,."),
    *((f"\u2581{word}", -3.0) for word in ("a", "red", "cube", "on", "table", "blue", "cat")),
]
"""The vocabulary of the small T5: pieces and scores of a unigram model."""


_T5 = {
    "vocab_size": len(PIECES),
    "d_kv": 8,
    "d_ff": 32,
    "num_heads": 2,
    "num_layers": 2,
}


def small_configs(family: Family) -> dict[Component, dict[str, Any]]:
    """The configs of a family with few channels."""
    configs = {part: read_object(family.configs / f"{part}.json") for part in family.components}
    for role in family.roles:
        if role.name != "t5":
            configs[role.component] |= _TEXT
    configs["vae"] |= {"block_out_channels": [32, 32, 32, 32], "layers_per_block": 1}
    if family.latents == "flux":
        return _with_small_flux(configs)
    if "unet" not in configs:
        return _with_small_transformer(configs)
    unet = configs["unet"]
    levels = len(unet["block_out_channels"])
    unet |= {
        "block_out_channels": [32, 32, 32, 64][:levels],
        "cross_attention_dim": WIDTH * len(family.roles),
    }
    unet["layers_per_block"] = 2
    if isinstance(unet["attention_head_dim"], list):
        unet["attention_head_dim"] = [2, 4, 4, 4][:levels]
    if "projection_class_embeddings_input_dim" in unet:
        numbers = (unet["projection_class_embeddings_input_dim"] - 1280) // 256  # beside the pooled vector
        unet |= {
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 24 + 8 * numbers,
        }
        unet["transformer_layers_per_block"] = [1, 1, 2] if levels == 3 else 1
    return configs


def _with_small_transformer(configs: dict[Component, dict[str, Any]]) -> dict[Component, dict[str, Any]]:
    """Configs of SD 3 with two heads of 16 and a second attention in the first block, as in SD 3.5 medium."""
    configs["text_encoder"]["projection_dim"] = 16
    configs["transformer"] |= {
        "num_layers": 3,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "caption_projection_dim": 32,
        "joint_attention_dim": 3 * WIDTH,
        "pooled_projection_dim": 16 + 24,
        "pos_embed_max_size": 24,
        "sample_size": 16,
        "dual_attention_layers": [0],
    }
    configs["text_encoder_3"] |= {**_T5, "d_model": 3 * WIDTH}
    return configs


def _with_small_flux(configs: dict[Component, dict[str, Any]]) -> dict[Component, dict[str, Any]]:
    """Configs of FLUX.1 with two heads of 16."""
    configs["transformer"] |= {
        "num_layers": 2,
        "num_single_layers": 2,
        "attention_head_dim": 16,
        "axes_dims_rope": [4, 6, 6],
        "num_attention_heads": 2,
        "joint_attention_dim": 3 * WIDTH,
        "pooled_projection_dim": WIDTH,
    }
    configs["text_encoder_2"] |= {**_T5, "d_model": 3 * WIDTH}
    return configs


@dataclass
class SmallModel:
    """A model in memory, and what is needed to write it."""

    family: Family
    configs: dict[Component, dict[str, Any]]
    networks: dict[Component, nn.Module]
    prediction: Prediction = "epsilon"

    @property
    def files(self) -> ModelFiles:
        """Its description, of which only what a writer reads is filled in."""
        tokenizers = {
            role.tokenizer: _t5_vocabulary() if role.name == "t5" else VOCABULARY
            for role in self.family.roles
        }
        noise = self.family.noise
        return ModelFiles(
            Path(), self.family, "", self.prediction, noise, (64, 64), self.configs, {}, tokenizers, ()
        )

    def states(self, dtype: torch.dtype = torch.float32) -> dict[Component, dict[str, Tensor]]:
        """The tensors of each network."""
        return {
            part: {
                name: tensor.detach().to(dtype).clone()
                for name, tensor in network.state_dict().items()
                if not name.endswith(("position_ids", "encoder.embed_tokens.weight"))
            }
            for part, network in self.networks.items()
        }

    def save_file(self, target: Path, dtype: torch.dtype = torch.float32) -> None:
        """Write it as a single file, with its configs in the metadata."""
        sources = dict.fromkeys(self.networks, self.files)
        saved.save_single(target, sources, self.states(dtype), {}, overwrite=False)

    def save_folder(self, target: Path) -> None:
        """Write it as a folder in the layout of diffusers."""
        sources = dict.fromkeys(self.networks, self.files)
        saved.save_folder(target, sources, self.states(), "float32", overwrite=False)

    def in_file(self) -> Mapping[str, Tensor]:
        """Its tensors under their names in a single file."""
        return saved.in_single_file(self.family, self.states())


def small_model(
    name: str, prediction: Prediction | None = None, seed: int = 1, *, optional: bool = False, **unet: Any
) -> SmallModel:
    """A small model of a family with random weights.

    Args:
        name: the family.
        prediction: what it predicts; None for the usual.
        seed: the seed of its weights.
        optional: whether it has the optional networks of its family.
        unet: changes the config of its UNet or transformer.
    """
    family = family_named(name)
    configs = small_configs(family)
    if not optional:
        configs = {part: configs[part] for part in family.needed}
    configs[family.network.component] |= unet
    torch.manual_seed(seed)
    networks = {
        part: weights.build(family, part, config).eval().requires_grad_(False)
        for part, config in configs.items()
    }
    with torch.no_grad():
        for network in networks.values():
            for tensor in network.parameters():
                if tensor.ndim < 2:
                    tensor.add_(torch.randn(tensor.shape) * 0.1)  # norms and biases begin at 1 and 0
    usual: Prediction = next(iter(family.sizes))
    return SmallModel(family, configs, networks, usual if prediction is None else prediction)


@cache
def _t5_vocabulary() -> Path:
    """A folder with the vocabulary of the small T5, as transformers writes it."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    T5Tokenizer(vocab=PIECES, extra_ids=0).save_pretrained(folder)
    return folder
