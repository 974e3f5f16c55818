"""Mask: the area of a picture on which a node acts, and how strongly."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from engine.values import Json, Packed, Part, Value

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray
    from PIL import Image as pillow

PNG = "image/png"
SAFETENSORS = "application/x-safetensors"


@dataclass(frozen=True, eq=False)
class Mask(Value, family="pixels", lossless=True):
    """One mask or a batch of masks of equal size.

    A node may also return an array float32 [masks, height, width] where a `Mask` is declared.
    """

    levels: NDArray[numpy.float32]
    """A read-only numpy array, float32 [masks, height, width], from 0 (off) to 1 (on), top row first."""

    def __post_init__(self) -> None:
        """Check the levels and make them read-only, in a copy if necessary.

        Raises:
            TypeError: the array has another dtype or shape.
            ValueError: a level is not from 0 to 1.
        """
        levels = self.levels
        if levels.dtype.name != "float32" or levels.ndim != 3 or not levels.size:
            raise TypeError(
                f"a Mask holds float32 [masks, height, width], not {levels.dtype} {list(levels.shape)}"
            )
        if not (levels.min() >= 0 and levels.max() <= 1):  # also false for NaN
            raise ValueError(f"a Mask holds numbers from 0 to 1, not {levels.min():g} to {levels.max():g}")
        if levels.flags.writeable or levels.base is not None:
            levels = levels.copy()
            levels.setflags(write=False)
            object.__setattr__(self, "levels", levels)

    @classmethod
    def adopt(cls, value: object) -> Self | None:
        """Convert an array float32 [masks, height, width] to a mask; None for any other value."""
        import numpy

        if isinstance(value, numpy.ndarray) and value.dtype == numpy.float32 and value.ndim == 3:
            return cls(value)
        return None

    def pil(self, index: int = 0) -> pillow.Image:
        """Return one of the masks as a grey Pillow image, rounded to 8 bits."""
        from PIL import Image

        return Image.fromarray((self.levels[index] * 255).round().astype("uint8"))

    def preview(self) -> pillow.Image:
        """The first mask."""
        return self.pil()

    def summary(self) -> str:
        """The number of masks, their size, and the share of their area that is on."""
        count, height, width = self.levels.shape
        share = f"{100 * float(self.levels.mean(dtype='float64')):.3g} % on"
        return f"{width} x {height}, {share}" + (f", {count} masks" if count > 1 else "")

    def pack(self) -> Packed:
        """Pack each mask as a grey PNG if 8 bits represent all levels exactly, otherwise as safetensors."""
        import numpy
        from safetensors.numpy import save

        grey = (self.levels * numpy.float32(255)).round().astype(numpy.uint8)
        if numpy.array_equal(grey.astype(numpy.float32) / numpy.float32(255), self.levels):
            pictures = (_png(plane) for plane in grey)
            parts = tuple(Part(str(number), PNG, data) for number, data in enumerate(pictures))
        else:
            levels: Any = self.levels
            parts = (Part("tensors", SAFETENSORS, save({"levels": levels})),)
        return Packed(self.wire, {"summary": self.summary()}, parts)

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """Restore the mask from what `pack` returned."""
        import numpy
        from PIL import Image
        from safetensors.numpy import load

        if "tensors" in parts:
            return cls(load(parts["tensors"])["levels"])
        planes = []
        for number in range(len(parts)):
            with Image.open(io.BytesIO(parts[str(number)]), formats=["PNG"]) as picture:
                planes.append(numpy.asarray(picture.convert("L")))
        return cls(numpy.stack(planes).astype(numpy.float32) / numpy.float32(255))


def _png(grey: NDArray[numpy.uint8]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG")
    return file.getvalue()
