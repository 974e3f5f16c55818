"""Warns about pictures that are much larger than a model's training resolution."""

from __future__ import annotations

from engine.devices.memory import in_units
from nodes.sd.models.estimates import Canvas, decoding_bytes, scores_bytes, slower

FAR_LARGER = 4
"""A picture of more than this many times the trained area causes a warning; twice its sides is still
usual."""


def far_larger(trained: Canvas, canvas: Canvas, attention: str = "sdpa") -> str | None:
    """Return a warning with an estimate of time and memory; None for a usual size.

    Args:
        trained: width and height that the model was trained on, in pixels.
        canvas: width and height to generate, in pixels.
        attention: the implementation of attention: `sdpa`, `sliced` or `plain`.
    """
    ratio = canvas[0] * canvas[1] / (trained[0] * trained[1])
    if ratio <= FAR_LARGER:
        return None
    decoding, scores = decoding_bytes(canvas), scores_bytes(canvas, attention)
    needs = [f"decoding it takes about {in_units(decoding)}, unless `tiled` is on"]
    if scores > decoding:
        needs.append(
            f"the attention {attention!r} takes about {in_units(scores)} in each step; sdpa takes little"
        )
    return (
        f"{canvas[0]} x {canvas[1]} is {ratio:.0f} times the area that the model was trained on"
        f" ({trained[0]} x {trained[1]}): each step takes about {slower(ratio):,.0f} times as long as at that"
        f" size, {', and '.join(needs)}, and the subject tends to repeat."
        " Generate at about the trained size, then upscale"
    )
