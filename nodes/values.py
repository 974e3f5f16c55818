"""The wire values of the built-in nodes: prompts, latents, pictures, masks, datasets, models."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from engine.errors import short
from engine.values import Json, Packed, Part, Value
from nodes.files.picture_modes import UnknownRange, to_rgb
from nodes.picture_sets.dataset import Dataset
from nodes.sd.families.family import NO_HINTS, SizeHints
from nodes.sd.models.loaded_encoder import LoadedTextEncoder
from nodes.sd.prompts.timeline import size_as_json, size_from_json
from nodes.value_types.mask import Mask
from nodes.value_types.recipes import Model, TextEncoder, Vae

if TYPE_CHECKING:
    import numpy
    import torch
    from numpy.typing import NDArray
    from PIL import Image as pillow

    from nodes.sd.prompts.timeline import PromptPart

__all__ = [
    "Conditioning",
    "Dataset",
    "Image",
    "Latent",
    "LoadedTextEncoder",
    "Mask",
    "Model",
    "TextEncoder",
    "Vae",
]

SAFETENSORS = "application/x-safetensors"
PNG = "image/png"


_MOST_WORDS = 20
"""The most tokens that the summary of a conditioning lists."""


@dataclass(frozen=True, eq=False)
class Conditioning(Value, family="conditioning", lossless=True):
    """An encoded prompt for a UNet."""

    embeddings: torch.Tensor
    """float32 [1, 77 * chunks, width]: the prompt; for a changing prompt, its encoding at the first step."""
    tokens: int
    """The number of tokens in the prompt. Each chunk has room for 75."""
    changing: tuple[PromptPart, ...] = ()
    """The parts that AND and CombinePrompts join, each with its encodings by step, and where and when it
    acts; empty for a single prompt that stays and acts everywhere."""
    pooled: torch.Tensor | None = None
    """float32 [1, width]: the pooled prompt, if the text encoder provides one."""
    words: tuple[str, ...] = ()
    """The text of each token of the first reading, in order."""
    size: SizeHints = NO_HINTS
    """The size conditioning of the picture, for model families that use it."""

    @property
    def parts(self) -> tuple[PromptPart, ...]:
        """The parts that AND and CombinePrompts join; a single part for any other prompt."""
        from nodes.sd.prompts.timeline import PromptPart

        if self.changing:
            return self.changing
        pooled = () if self.pooled is None else (self.pooled,)
        return (PromptPart((self.embeddings,), pooled=pooled, size=self.size),)

    def with_parts(self, parts: Iterable[PromptPart]) -> Conditioning:
        """Return a copy with other parts."""
        changed = tuple(parts)
        first = changed[0]
        pooled = first.pooled[0] if first.pooled else None
        return replace(self, embeddings=first.encodings[0], changing=changed, pooled=pooled)

    def summary(self) -> str:
        """Describe the tensor's shape and mean norm, the tokens, and the numbers of parts and encodings."""
        rows = self.embeddings.shape[1]
        words = [f"{number} {word.strip()}" for number, word in enumerate(self.words[:_MOST_WORDS], 1)]
        shown = ", ".join(words) + (", …" if len(self.words) > _MOST_WORDS else "")
        room = "" if rows % 77 else f" of {75 * (rows // 77)}"  # T5 does not read in chunks
        details = [
            " x ".join(map(str, self.embeddings.shape)),
            f"norm {float(self.embeddings.norm(dim=-1).mean()):.3g}",
            f"{self.tokens}{room} tokens" + (f" ({shown})" if shown else ""),
        ]
        if len(self.parts) > 1:
            details.append(f"{len(self.parts)} parts")
        if any(len(part.encodings) > 1 for part in self.parts):
            details.append(f"{sum(len(part.encodings) for part in self.parts)} readings")
        if self.pooled is not None:
            details.append(f"pooled vector of {self.pooled.shape[-1]}")
        if guidances := {f"{one.guidance:g}" for one in self.parts if one.guidance is not None}:
            details.append(f"distilled guidance {' and '.join(sorted(guidances))}")
        if groups := len({part.group for part in self.parts} - {0}):
            details.append(f"{groups + 1} prompts")
        return ", ".join(details)

    def pack(self) -> Packed:
        """Pack the encodings as safetensors, and the steps at which each is used as JSON."""
        meta: dict[str, Json] = {"tokens": self.tokens, "words": list(self.words), "summary": self.summary()}
        tensors = {"embeddings": self.embeddings}
        if self.pooled is not None:
            tensors["pooled"] = self.pooled
        if self.size != NO_HINTS:
            meta["size"] = size_as_json(self.size)
        if self.changing:
            meta["parts"] = [part.as_json() for part in self.changing]
            for number, part in enumerate(self.changing):
                tensors.update(part.tensors(number))
            del tensors["embeddings"]  # it equals the first of these
        return _tensors(self, meta, tensors)

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """Restore the conditioning from what `pack` returned."""
        from safetensors.torch import load

        from nodes.sd.prompts.timeline import PromptPart

        assert isinstance(meta, dict)
        tokens, plain, words = meta["tokens"], meta.get("parts", []), meta.get("words", [])
        assert isinstance(tokens, int)
        assert isinstance(plain, list)
        assert isinstance(words, list)
        tensors = load(parts["tensors"])
        changing = tuple(PromptPart.from_json(part, number, tensors) for number, part in enumerate(plain))
        embeddings = changing[0].encodings[0] if changing else tensors["embeddings"]
        size = size_from_json(meta.get("size"))
        return cls(embeddings, tokens, changing, tensors.get("pooled"), tuple(map(str, words)), size)


@dataclass(frozen=True, eq=False)
class Latent(Value, family="latents", lossless=True):
    """Latent pictures, as a UNet processes them, or an empty latent."""

    samples: torch.Tensor
    """A torch tensor, float32 [pictures, channels, height / 8, width / 8], on any device.

    Values are scaled for the UNet: about normally distributed, mostly within -4 and 4.
    """
    mask: torch.Tensor | None = None
    """Where Denoise changes the pictures: float32 [1 or pictures, height, width] from 0 (keep) to 1 (change),
    of any size; None changes them everywhere."""
    masked: torch.Tensor | None = None
    """For inpainting models: the pictures, encoded with grey in place of what the mask covers; of the shape
    of `samples`."""
    made_with: str = ""
    """The family of the model that made it, such as `sd1`; empty for an empty latent."""

    def summary(self) -> str:
        """The number of pictures and their size."""
        count, _, height, width = self.samples.shape
        size = f"{count} latent{'s' if count > 1 else ''}, {width} x {height}"
        return size if self.mask is None else f"{size}, masked"

    def pack(self) -> Packed:
        """Pack the tensors as safetensors."""
        tensors = {"samples": self.samples, "mask": self.mask, "masked": self.masked}
        meta = self.made_with or None
        return _tensors(self, meta, {name: value for name, value in tensors.items() if value is not None})

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """Restore the latent from what `pack` returned."""
        from safetensors.torch import load

        tensors = load(parts["tensors"])
        made_with = meta if isinstance(meta, str) else ""
        return cls(tensors["samples"], tensors.get("mask"), tensors.get("masked"), made_with)


def _tensors(value: Value, meta: Json, tensors: dict[str, torch.Tensor]) -> Packed:
    from safetensors.torch import save

    seen: set[int] = set()
    apart = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        if plain.data_ptr() in seen:  # safetensors refuses tensors that share memory
            plain = plain.clone()
        seen.add(plain.data_ptr())
        apart[name] = plain
    data = save(apart)
    return Packed(value.wire, meta, (Part("tensors", SAFETENSORS, data),))


@dataclass(frozen=True, eq=False)
class Image(Value, family="pixels", lossless=True):
    """One picture or a batch of pictures of equal size.

    A node with a declared output of type `Image` may also return a Pillow image or an array uint8 [height,
    width, 3].
    """

    pixels: NDArray[numpy.uint8]
    """A read-only numpy array, uint8 [pictures, height, width, 3]: RGB from 0 (black) to 255, top row first.

    For numbers from 0 to 1, use `Image((array * 255).round().astype("uint8")[None])`.
    """

    def __post_init__(self) -> None:
        """Check the pixels and make them read-only, in a copy if necessary.

        Raises:
            TypeError: the array has another dtype or shape.
        """
        pixels = self.pixels
        if not hasattr(pixels, "dtype") or not hasattr(pixels, "shape"):
            raise TypeError(f"an Image holds a numpy array, not {short(pixels)}")
        if pixels.dtype.name != "uint8" or pixels.ndim != 4 or pixels.shape[-1] != 3 or not pixels.size:
            found = f"{pixels.dtype} {list(pixels.shape)}"
            raise TypeError(f"an Image holds uint8 [pictures, height, width, 3], not {found}")
        if pixels.flags.writeable or pixels.base is not None:
            pixels = pixels.copy()
            pixels.setflags(write=False)
            object.__setattr__(self, "pixels", pixels)

    @classmethod
    def adopt(cls, value: object) -> Self | None:
        """Convert a Pillow image, or an array uint8 [height, width, 3] with or without a batch.

        Raises:
            TypeError: the array or tensor has another dtype or shape.
        """
        import numpy
        from PIL import Image

        if isinstance(value, Image.Image):
            try:
                return cls(numpy.array(to_rgb(value))[None])
            except UnknownRange as error:
                raise TypeError(f"the picture cannot be converted to an Image: {error}") from None
        if not hasattr(value, "shape") or not hasattr(value, "dtype"):
            return None
        if isinstance(value, numpy.ndarray) and value.dtype == numpy.uint8 and value.ndim in (3, 4):
            return cls(value if value.ndim == 4 else value[None])
        if "uint8" not in str(value.dtype):
            advice = 'for numbers from 0 to 1, return Image((array * 255).round().astype("uint8")[None])'
        elif len(value.shape) == 2:
            advice = "for a grey picture, return Image(numpy.stack([array] * 3, -1)[None])"
        else:
            advice = "return Image(array) with red, green and blue as the last axis"
        raise TypeError(
            f"an Image holds a numpy array uint8 [pictures, height, width, 3] from 0 to 255, not"
            f" {value.dtype} {list(value.shape)}; {advice}"
        )

    def pil(self, index: int = 0) -> pillow.Image:
        """Return one of the pictures as a Pillow image."""
        from PIL import Image

        return Image.fromarray(self.pixels[index])

    def array(self) -> NDArray[numpy.uint8]:
        """Return the pictures as a read-only array: [pictures, height, width, 3], RGB."""
        return self.pixels

    def preview(self) -> pillow.Image:
        """The first picture."""
        return self.pil()

    def summary(self) -> str:
        """The number of pictures and their size."""
        count, height, width, _ = self.pixels.shape
        return f"{width} x {height}" + (f", {count} pictures" if count > 1 else "")

    def pack(self) -> Packed:
        """Pack each picture as a PNG."""
        from PIL import Image as pillow

        parts = []
        for number, picture in enumerate(self.pixels):
            file = io.BytesIO()
            pillow.fromarray(picture).save(file, "PNG")
            parts.append(Part(str(number), PNG, file.getvalue()))
        return Packed(self.wire, None, tuple(parts))

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """Restore the pictures from what `pack` returned."""
        import numpy
        from PIL import Image as pillow

        pictures = []
        for number in range(len(parts)):
            with pillow.open(io.BytesIO(parts[str(number)]), formats=["PNG"]) as picture:
                pictures.append(numpy.asarray(picture.convert("RGB")))
        return cls(numpy.stack(pictures))
