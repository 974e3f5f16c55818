"""Maps the tensor names of upscale models: BasicSR's current names, and those of older tools.

torch is not imported here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_WRAPPERS = ("params_ema.", "params-ema.", "params.", "model_state_dict.", "state_dict.")
"""Prefixes that trainers add to the tensors; those of averaged weights (EMA) come first."""

_BLOCK = re.compile(r"(?:model\.1\.sub|RRDB_trunk)\.(\d+)\.RDB(\d)\.conv(\d)(?:\.0)?\.(weight|bias)")
_BODY_END = re.compile(r"(?:model\.1\.sub\.(\d+)|trunk_conv)\.(weight|bias)")
_LAYER = re.compile(r"model\.(\d+)\.(weight|bias)")
_NAMED = re.compile(r"(upconv(\d)|HRconv)\.(weight|bias)")


def is_upscaler(names: Iterable[str]) -> bool:
    """Return whether tensors of these names belong to an upscale model, even one of an unknown network."""
    plain = unwrapped(names)
    return (
        "conv_first.weight" in plain
        or any(_BLOCK.fullmatch(name) for name in plain)
        or ("body.0.weight" in plain and all(name.startswith("body.") for name in plain))
    )


def unwrapped(names: Iterable[str]) -> dict[str, str]:
    """Map names without the trainer's prefixes to the names in the file."""
    names = list(names)
    for wrapper in _WRAPPERS:
        inner = [name for name in names if name.startswith(wrapper)]
        if inner:
            return {name.removeprefix(wrapper).removeprefix("module."): name for name in inner}
    return {name.removeprefix("module."): name for name in names}


def in_basicsr(names: Iterable[str]) -> dict[str, str]:
    """Map BasicSR's names to the names in a file; names of unknown layouts stay unchanged.

    The layout of the first ESRGAN numbers the layers: `model.0` is the first convolution and `model.1` the
    body. One convolution for each doubling follows, at every third number, and then the last two.
    """
    plain = unwrapped(names)
    layers = sorted({int(match[1]) for name in plain if (match := _LAYER.fullmatch(name))})
    last = dict(zip(layers[-2:], ("conv_hr", "conv_last"), strict=False)) if len(layers) > 2 else {}
    numbered = {0: "conv_first", **last}
    numbered |= {layer: f"conv_up{n}" for n, layer in enumerate(layers[1:-2], 1)}
    renamed = {}
    for name, stored in plain.items():
        if match := _BLOCK.fullmatch(name):
            name = f"body.{match[1]}.rdb{match[2]}.conv{match[3]}.{match[4]}"  # noqa: PLW2901
        elif match := _BODY_END.fullmatch(name):
            name = f"conv_body.{match[2]}"  # noqa: PLW2901
        elif match := _NAMED.fullmatch(name):
            name = f"{f'conv_up{match[2]}' if match[2] else 'conv_hr'}.{match[3]}"  # noqa: PLW2901
        elif (match := _LAYER.fullmatch(name)) and int(match[1]) in numbered:
            name = f"{numbered[int(match[1])]}.{match[2]}"  # noqa: PLW2901
        renamed[name] = stored
    return renamed
