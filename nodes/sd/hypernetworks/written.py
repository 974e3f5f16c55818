"""Writes hypernetworks in A1111's format."""

from __future__ import annotations

import io
from typing import Any

import torch

from nodes.sd.hypernetworks.hypernetwork_value import Hypernetwork


def as_pt(hypernetwork: Hypernetwork) -> bytes:
    """Write a hypernetwork as A1111 does, and return the bytes of the file.

    It is a pickle of dicts, numbers, texts and tensors, without other objects.
    """
    layout = hypernetwork.layout
    dropout = list(layout.dropout) or None
    tree: dict[Any, Any] = {width: hypernetwork.states(width) for width in hypernetwork.widths}
    tree |= {
        "step": hypernetwork.step,
        "name": hypernetwork.name,
        "layer_structure": list(layout.structure),
        "activation_func": layout.activation,
        "is_layer_norm": layout.norm,
        "weight_initialization": hypernetwork.weight_init,
        "sd_checkpoint": hypernetwork.base_hash,
        "sd_checkpoint_name": hypernetwork.base_name,
        "activate_output": layout.activates_output,
        "use_dropout": dropout is not None,
        "dropout_structure": dropout,
        "last_layer_dropout": dropout is not None and len(dropout) > 2 and dropout[-2] > 0,
        "optional_info": " ".join(f"{key}={value}" for key, value in hypernetwork.notes.items()),
    }
    file = io.BytesIO()
    torch.save(tree, file)
    return file.getvalue()
