"""Maps the tensor names of a ControlNet in diffusers to those of the original code."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nodes.sd.families import key_tables
from nodes.sd.families.key_tables import Stored, Ways

PREFIX = "control_model."
"""The prefix of every name in some files of the original code, which may also contain a checkpoint."""
_OUTSIDE = {
    "controlnet_cond_embedding.conv_in": "input_hint_block.0",
    "controlnet_cond_embedding.conv_out": "input_hint_block.14",
    "controlnet_mid_block": "middle_block_out.0",
}
_NUMBERED = re.compile(r"(controlnet_down_blocks|controlnet_cond_embedding\.blocks)\.(\d+)")


def in_original_code(names: Iterable[str]) -> Ways:
    """Map diffusers' names of tensors to those of the original code (github.com/lllyasviel/ControlNet).

    A ControlNet contains a copy of the UNet's first half; its tensors have the names of Stability's code.
    """
    own: Ways = {}
    shared = []
    for name in names:
        module, _, kind = name.rpartition(".")
        original = _original(module)
        if original is None:
            shared.append(name)
        else:
            own[name] = (Stored(f"{original}.{kind}"),)
    return key_tables.unet(shared) | own


def _original(module: str) -> str | None:
    """Return the original name of a module; None if a UNet has the module, too."""
    if (found := _NUMBERED.fullmatch(module)) is None:
        return _OUTSIDE.get(module)
    number = int(found[2])
    if found[1] == "controlnet_down_blocks":
        return f"zero_convs.{number}.0"
    return f"input_hint_block.{2 * number + 2}"  # an activation follows each convolution
