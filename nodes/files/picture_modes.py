"""Converts Pillow images of any mode to 8-bit RGB, as an image viewer shows them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
_PLAIN = ("1", "L", "P", "RGB", "RGBX", "YCbCr", "HSV")
_TRANSPARENT = ("RGBA", "LA", "PA", "La", "RGBa")


class UnknownRange(ValueError):
    """Raised for a mode without a defined white level, such as 32-bit integers; the message names it."""


def to_rgb(picture: Picture, *, over_white: bool = True) -> Picture:
    """Convert a picture to mode RGB, with its colour profile applied.

    Args:
        picture: a picture of any mode.
        over_white: True to blend transparent parts with white; False to keep their colours.

    Raises:
        UnknownRange: the mode has 32 bits per channel, or is unknown.
    """
    from PIL import Image as pillow

    if picture.mode in _SIXTEEN_BITS:
        return _sixteen_bits(picture)
    if _is_transparent(picture):
        layer = picture.convert("RGBA")
        if over_white:
            layer = pillow.alpha_composite(pillow.new("RGBA", layer.size, "white"), layer)
        return _in_srgb(layer.convert("RGB"), picture.info.get("icc_profile"))
    if picture.mode == "CMYK" or picture.mode in _PLAIN:
        source = picture if picture.mode in ("CMYK", "L") else picture.convert("RGB")
        return _in_srgb(source, picture.info.get("icc_profile"))
    raise UnknownRange(f"its mode {picture.mode} does not define which number is white")


def transparency(picture: Picture) -> Picture | None:
    """Return the opacity of a picture in mode L (255 is opaque); None for a picture without transparency."""
    return picture.convert("RGBA").getchannel("A") if _is_transparent(picture) else None


def _is_transparent(picture: Picture) -> bool:
    return picture.mode in _TRANSPARENT or ("transparency" in picture.info and picture.mode in _PLAIN)


def _sixteen_bits(picture: Picture) -> Picture:
    import numpy
    from PIL import Image as pillow

    wide = numpy.asarray(picture).astype(numpy.float64)
    return pillow.fromarray((wide / 257).round().clip(0, 255).astype(numpy.uint8)).convert("RGB")


def _in_srgb(picture: Picture, profile: bytes | None) -> Picture:
    """Convert a picture from its colour profile to sRGB; without a usable profile, sRGB is assumed."""
    from PIL import ImageCms

    if profile:
        try:
            source: Any = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "srgb" not in ImageCms.getProfileDescription(source).lower():
                target: Any = ImageCms.createProfile("sRGB")
                converted = ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
                if converted is not None:
                    return converted
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # real profiles are often damaged or made for another mode
    return picture.convert("RGB")
