"""Gradient checkpointing: inner values of a UNet are computed again for the gradient, not kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from nodes.sd.fine_tuning.dropout import Dropout


@contextmanager
def checkpointed(network: nn.Module, dropout: Dropout) -> Iterator[None]:
    """Keep only the inputs of the blocks of a network of diffusers inside a `with` block.

    The gradients have the same bits as without it (arXiv:1604.06174).

    Args:
        network: the network; blocks that it shares with others are as before at the end.
        dropout: the dropout in it, which drops the same numbers when a block is computed again.
    """

    def computed(block: nn.Module, *inputs: Any) -> Any:
        return checkpoint(block.__call__, *inputs, use_reentrant=False, context_fn=dropout.repeated)

    blocks = [module for module in network.modules() if hasattr(module, "gradient_checkpointing")]
    before = [dict(block.__dict__) for block in blocks]
    for block in blocks:
        block.__dict__ |= {"gradient_checkpointing": True, "_gradient_checkpointing_func": computed}
    try:
        yield
    finally:
        for block, own in zip(blocks, before, strict=True):
            del block.__dict__["_gradient_checkpointing_func"]
            names = ("gradient_checkpointing", "_gradient_checkpointing_func")
            block.__dict__ |= {name: own[name] for name in names if name in own}
