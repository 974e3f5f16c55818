"""Gradient checkpointing: computes the activations of a network again for the gradient, not keeping them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from nodes.sd.fine_tuning.dropout import Dropout


@contextmanager
def checkpointed(network: nn.Module, dropout: Dropout) -> Iterator[None]:
    """Use gradient checkpointing for the blocks of a diffusers network inside a `with` block.

    Only the inputs of the blocks are kept. The gradients have the same bits as without it (arXiv:1604.06174).

    Args:
        network: the network; its blocks are restored at the end, since other networks may share them.
        dropout: the dropout in the network, which drops the same numbers when a block is computed again.
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
