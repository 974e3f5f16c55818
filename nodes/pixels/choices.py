"""The choices of some inputs of image nodes, in a module that imports no library."""

from __future__ import annotations

from typing import Literal

Method = Literal["lanczos", "bicubic", "bilinear", "area", "nearest"]
"""The filters for resizing."""

Shape = Literal["round", "square", "diamond"]
"""The shapes into which a single pixel of a mask grows."""

BlendMode = Literal[
    "normal",
    "multiply",
    "screen",
    "overlay",
    "darken",
    "lighten",
    "color dodge",
    "color burn",
    "hard light",
    "soft light",
    "difference",
    "exclusion",
    "hue",
    "saturation",
    "color",
    "luminosity",
    "add",
    "subtract",
]
"""The blend modes of CSS and Photoshop, and `add` and `subtract`."""
