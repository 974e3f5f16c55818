"""Block weights: the strength of a LoRA in each block of the UNet, as in A1111's "LoRA Block Weight"."""

from __future__ import annotations

import math
import re

from nodes.sd.lora.keys import original_names

_ALL = ("BASE", *(f"IN{n:02}" for n in range(12)), "M00", *(f"OUT{n:02}" for n in range(12)))
_ATTENTION = (
    "BASE",
    *(f"IN{n:02}" for n in (1, 2, 4, 5, 7, 8)),
    "M00",
    *(f"OUT{n:02}" for n in range(3, 12)),
)
_ALL_XL = ("BASE", *(f"IN{n:02}" for n in range(9)), "M00", *(f"OUT{n:02}" for n in range(9)))
_ATTENTION_XL = (
    "BASE",
    *(f"IN{n:02}" for n in (4, 5, 7, 8)),
    "M00",
    *(f"OUT{n:02}" for n in range(6)),
)
LISTS = {len(names): names for names in (_ALL, _ATTENTION, _ALL_XL, _ATTENTION_XL)}
"""The blocks that a list of 12, 17, 20 or 26 numbers sets, in order. All other blocks get 0."""

PRESETS: dict[str, tuple[float, ...]] = {
    "NONE": (0.0,) * 17,
    "ALL": (1.0,) * 17,
    "INS": (1.0,) * 4 + (0.0,) * 13,
    "IND": (1.0,) + (0.0,) * 3 + (1.0,) * 3 + (0.0,) * 10,
    "INALL": (1.0,) * 7 + (0.0,) * 10,
    "MIDD": (1.0,) + (0.0,) * 3 + (1.0,) * 8 + (0.0,) * 5,
    "OUTD": (1.0,) + (0.0,) * 7 + (1.0,) * 4 + (0.0,) * 5,
    "OUTS": (1.0,) + (0.0,) * 11 + (1.0,) * 5,
    "OUTALL": (1.0,) + (0.0,) * 7 + (1.0,) * 9,
    "ALL0.5": (0.5,) * 17,
}
"""The presets of "LoRA Block Weight" for A1111, for SD 1 and 2."""

_BLOCK = re.compile(r"(input_blocks|middle_block|output_blocks)\.(\d+)\.")
_SIDE = {"input_blocks": "IN", "middle_block": "M", "output_blocks": "OUT"}


def parse(text: str) -> tuple[float, ...]:
    """Parse block weights: a preset such as `OUTD`, or numbers separated by commas.

    The lists are those of "LoRA Block Weight" for A1111: 17 or 26 numbers for SD 1 and 2, 12 or 20 for SDXL.
    An empty text gives an empty tuple, which means 1 in every block.

    Raises:
        ValueError: an entry is not a number, the list has another length, or there is no such preset.
    """
    text = text.strip()
    if not text:
        return ()
    if (preset := PRESETS.get(text.upper())) is not None:
        return preset
    if "," not in text and not _is_number(text):
        raise ValueError(
            f"{text[:40]!r} is not a preset of block weights; the presets are {', '.join(PRESETS)}"
        )
    weights = []
    for number, entry in enumerate(text.split(","), 1):
        if not _is_number(entry):
            raise ValueError(f"block weight {number} is {entry.strip()[:40]!r}, which is not a number")
        weights.append(float(entry))
    if len(weights) not in LISTS:
        raise ValueError(
            f"there are {len(weights)} block weights; SD 1 and 2 need 17 or 26, SDXL needs 12 or 20"
        )
    return tuple(weights)


def base(weights: tuple[float, ...]) -> float:
    """Return the weight outside of the blocks, such as in the text encoder and in the time embedding."""
    return weights[0] if weights else 1.0


def in_unet(weights: tuple[float, ...], modules: list[str]) -> dict[str, float]:
    """Return the block weight of each module of a UNet, by the path of the module."""
    if not weights:
        return dict.fromkeys(modules, 1.0)
    by_block = dict(zip(LISTS[len(weights)], weights, strict=True))
    original = original_names(modules)
    return {module: by_block.get(_block(original.get(module, "")), 0.0) for module in modules}


def _block(name: str) -> str:
    match = _BLOCK.match(name)
    if match is None:
        return "BASE"
    return "M00" if match[1] == "middle_block" else f"{_SIDE[match[1]]}{int(match[2]):02}"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
