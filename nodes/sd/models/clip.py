"""CLIP's text encoder in torch alone, with the same bits and names as that of transformers.

Importing the class of transformers takes longer than a small model needs to draw a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "quick_gelu": lambda numbers: numbers * torch.sigmoid(1.702 * numbers),
}


@dataclass(frozen=True)
class ClipConfig:
    """The config of a CLIP text encoder, with the names and the defaults of transformers."""

    vocab_size: int = 49408
    hidden_size: int = 512
    intermediate_size: int = 2048
    projection_dim: int = 512
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    max_position_embeddings: int = 77
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    attention_dropout: float = 0.0
    bos_token_id: int | None = 49406
    eos_token_id: int = 49407
    pad_token_id: int | None = 1

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """Read the known entries of a config. Others are ignored, because some of them would load code.

        Raises:
            ValueError: the config does not describe a CLIP text encoder.
        """
        names = [field.name for field in fields(cls)]
        found = cls(**{name: config[name] for name in names if name in config})
        if found.hidden_act not in _ACTIVATIONS:
            raise ValueError(f"hidden_act is {found.hidden_act!r}; CLIP uses {' or '.join(_ACTIVATIONS)}")
        if found.hidden_size % found.num_attention_heads:
            raise ValueError("hidden_size is not a multiple of num_attention_heads")
        if type(found.eos_token_id) is not int:
            raise ValueError(f"eos_token_id is {found.eos_token_id!r}, not a whole number")
        return found


class ClipOutput(NamedTuple):
    """The output of a text encoder."""

    last_hidden_state: Tensor
    """[batch, tokens, width], after the final layer norm."""
    hidden_states: tuple[Tensor, ...] | None
    """The input of the first layer and the outputs of all layers, if they were asked for."""
    pooler_output: Tensor
    """[batch, width], the row of the end token."""
    text_embeds: Tensor | None = None
    """[batch, projection_dim], the projection of that row; None if the encoder has no projection."""


def _embedding(count: int, width: int) -> nn.Embedding:
    """Make a table of vectors without initialising it.

    torch would fill it by `normal_`, which imports torch._dynamo on the meta device.
    """
    return nn.Embedding(count, width, _weight=torch.empty(count, width).uniform_(-0.03, 0.03))


class _Embeddings(nn.Module):
    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.token_embedding = _embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = _embedding(config.max_position_embeddings, config.hidden_size)

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        rows: Tensor = self.token_embedding(ids) + self.position_embedding(places)
        return rows


class _Attention(nn.Module):
    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads, self.dropout = config.num_attention_heads, config.attention_dropout
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, rows: Tensor, mask: Tensor | None) -> Tensor:
        parts = (self.q_proj(rows), self.k_proj(rows), self.v_proj(rows))
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        found = functional.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            scale=q.shape[-1] ** -0.5,
            is_causal=mask is None,
        )
        joined: Tensor = self.out_proj(found.transpose(1, 2).flatten(2))
        return joined


class _MLP(nn.Module):
    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.activation = _ACTIVATIONS[config.hidden_act]
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, rows: Tensor) -> Tensor:
        found: Tensor = self.fc2(self.activation(self.fc1(rows)))
        return found


class _Layer(nn.Module):
    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.self_attn = _Attention(config)
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = _MLP(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, rows: Tensor, mask: Tensor | None) -> Tensor:
        rows = rows + self.self_attn(self.layer_norm1(rows), mask)
        found: Tensor = rows + self.mlp(self.layer_norm2(rows))
        return found


class _Layers(nn.Module):
    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList([_Layer(config) for _ in range(config.num_hidden_layers)])


class ClipTextModel(nn.Module):
    """A CLIP text encoder without projection."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = _Embeddings(config)
        self.encoder = _Layers(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.final_layer_norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights."""
        return self.final_layer_norm.weight.dtype

    def get_input_embeddings(self) -> nn.Embedding:
        """The vectors of the tokens."""
        return self.embeddings.token_embedding

    def forward(
        self, ids: Tensor, attention_mask: Tensor | None = None, output_hidden_states: bool = False
    ) -> ClipOutput:
        """Encode tokens; each token attends to itself and those before it.

        Args:
            ids: int64 [batch, tokens].
            attention_mask: int64 [batch, tokens], 0 for the tokens that are hidden from others.
            output_hidden_states: True to return the outputs of all layers.
        """
        mask = None
        if attention_mask is not None and not bool(attention_mask.all()):
            count = ids.shape[1]
            causal = torch.ones(count, count, dtype=torch.bool, device=ids.device).tril()
            mask = causal & attention_mask.to(ids.device, torch.bool)[:, None, None, :]
        rows = self.embeddings(ids)
        states = [rows]
        for layer in self.encoder.layers:
            rows = layer(rows, mask)
            states.append(rows)
        last = self.final_layer_norm(rows)
        # Configs of before 2023 name 2 as the end token, where the end token is in fact the largest.
        ends = ids if self.config.eos_token_id == 2 else (ids == self.config.eos_token_id).int()
        pooled = last[torch.arange(len(last), device=last.device), ends.int().argmax(-1)]
        return ClipOutput(last, tuple(states) if output_hidden_states else None, pooled)


class ClipTextModelWithProjection(nn.Module):
    """A CLIP text encoder with a projection of its pooled vector."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.config = config
        self.text_model = ClipTextModel(config)
        self.text_projection = nn.Linear(config.hidden_size, config.projection_dim, bias=False)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.text_model.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights."""
        return self.text_model.dtype

    def get_input_embeddings(self) -> nn.Embedding:
        """The vectors of the tokens."""
        return self.text_model.get_input_embeddings()

    def forward(
        self, ids: Tensor, attention_mask: Tensor | None = None, output_hidden_states: bool = False
    ) -> ClipOutput:
        """As `ClipTextModel.forward`."""
        found: ClipOutput = self.text_model(ids, attention_mask, output_hidden_states)
        return found._replace(text_embeds=self.text_projection(found.pooler_output))
