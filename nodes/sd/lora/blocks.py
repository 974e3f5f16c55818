"""Block weights: how strong a LoRA is in each block of the UNet, as artists write them."""

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
"""The blocks that a list of so many numbers names, in order; a block that it does not name gets 0."""

_BLOCK = re.compile(r"(input_blocks|middle_block|output_blocks)\.(\d+)\.")
_SIDE = {"input_blocks": "IN", "middle_block": "M", "output_blocks": "OUT"}


def parse(text: str) -> tuple[float, ...]:
    """Block weights out of their text, such as `1,0,0,0,1,1,1,1,1,1,1,1,0,0,0,0,0`; empty for none.

    The lists are those of A1111's "LoRA Block Weight": 17 or 26 numbers for SD 1 and 2, 12 or 20 for SDXL.

    Raises:
        ValueError: something in it is no number, or there are too many or too few.
    """
    if not text.strip():
        return ()
    weights = []
    for number, part in enumerate(text.split(","), 1):
        try:
            weight = float(part)
        except ValueError:
            weight = math.nan
        if not math.isfinite(weight):
            raise ValueError(f"number {number} of the block weights is {part.strip()[:40]!r}") from None
        weights.append(weight)
    if len(weights) not in LISTS:
        raise ValueError(
            f"there are {len(weights)} block weights; give 17 or 26 for SD 1 and 2, 12 or 20 for SDXL"
        )
    return tuple(weights)


def base(weights: tuple[float, ...]) -> float:
    """What applies outside of the blocks: in the text encoder and in the time embedding."""
    return weights[0] if weights else 1.0


def in_unet(weights: tuple[float, ...], modules: list[str]) -> dict[str, float]:
    """The block weight of each module of a UNet."""
    if not weights:
        return dict.fromkeys(modules, 1.0)
    named = dict(zip(LISTS[len(weights)], weights, strict=True))
    original = original_names(modules)
    return {module: named.get(_block(original.get(module, "")), 0.0) for module in modules}


def _block(name: str) -> str:
    found = _BLOCK.match(name)
    if found is None:
        return "BASE"
    return "M00" if found[1] == "middle_block" else f"{_SIDE[found[1]]}{int(found[2]):02}"
