"""What travels on the wires of the built-in nodes: recipes for models, conditionings, latents and pictures.

A model on a wire is a recipe: a few hundred bytes that name it by the digest of its files. Weights meet the
device inside the nodes that compute, when `ctx.use` asks for what a recipe stands for.
"""

from __future__ import annotations

import io
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

from engine.errors import NodeError
from engine.files import Files
from engine.values import Json, Packed, Part, Value
from nodes.checkpoints import Checkpoint
from nodes.embedding_files import Embeddings
from nodes.sd.hypernetwork_patch import HypernetworkFile, HypernetworkPatch
from nodes.sd.lora.patch import LoraFile, LoraPatch

if TYPE_CHECKING:
    import numpy
    import torch
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from numpy.typing import NDArray
    from transformers.models.clip.modeling_clip import CLIPTextModel
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

    from nodes.sd.formats.catalogue import Catalogue
    from nodes.sd.prompts.timeline import PromptPart

SAFETENSORS = "application/x-safetensors"
PNG = "image/png"


class Recipe(Value):
    """A part of a checkpoint, by the digest of the checkpoint's files."""

    checkpoint: Checkpoint

    @property
    def identity(self) -> Hashable:
        """Equal identities load the same weights."""
        return self.wire, self.checkpoint.digest

    def summary(self) -> str:
        """The checkpoint's name and the first of its digest."""
        return f"{self.checkpoint.name} ({self.checkpoint.digest[:10]})"

    def pack(self) -> Packed:
        """The checkpoint as JSON; no weights."""
        return Packed(self.wire, asdict(self.checkpoint))

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """The recipe that `pack` made this of."""
        assert isinstance(meta, dict)
        recipe = cls.__new__(cls)
        object.__setattr__(recipe, "checkpoint", Checkpoint.from_json(meta))
        return recipe


class Patched(Recipe):
    """A part of a checkpoint, and what is laid over it: LoRAs and their like, each by the digest of its file.

    Where nothing lies over it, it equals the plain part, and so does all that is made of it.
    """

    patches: tuple[LoraPatch | HypernetworkPatch, ...]

    @property
    def identity(self) -> Hashable:
        """Equal identities load the same weights."""
        return (super().identity, self.patches) if self.patches else super().identity

    @property
    def base(self) -> Self | None:
        """The part without what lies over it; None if nothing does."""
        return replace(self, patches=()) if self.patches else None  # type: ignore[type-var]

    @property
    def layers(self) -> tuple[LoraFile | HypernetworkFile, ...]:
        """The files of the patches, in their order."""
        return tuple(patch.source for patch in self.patches)

    def summary(self) -> str:
        """The checkpoint's name, the first of its digest, and what lies over it."""
        return " + ".join([super().summary(), *(patch.summary() for patch in self.patches)])

    def pack(self) -> Packed:
        """The checkpoint and the patches as JSON; no weights."""
        meta = asdict(self.checkpoint)
        if self.patches:
            meta["patches"] = [patch.as_json() for patch in self.patches]
        return Packed(self.wire, meta)

    @staticmethod
    def _unpacked(meta: Json) -> dict[str, Any]:
        """The fields that `pack` wrote."""
        plain = dict(cast("dict[str, Any]", meta))
        patches = tuple(_patch(kept) for kept in plain.pop("patches", ()))
        plain.pop("embeddings", None)
        return {"checkpoint": Checkpoint.from_json(plain), "patches": patches}


def _patch(kept: dict[str, Any]) -> LoraPatch | HypernetworkPatch:
    if "lora" in kept:
        return LoraPatch.from_json(kept["lora"])
    return HypernetworkPatch.from_json(kept["hypernetwork"])


@dataclass(frozen=True)
class Model(Patched):
    """The network that removes noise: a recipe for a UNet."""

    checkpoint: Checkpoint
    patches: tuple[LoraPatch | HypernetworkPatch, ...] = ()

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """The model that `pack` made this of."""
        return cls(**cls._unpacked(meta))

    def load(self, device: str, files: Files) -> tuple[UNet2DConditionModel, int]:
        """The UNet on a device, with nothing over it, and the bytes that it takes there."""
        from nodes.sd.weights import load_unet

        return _placed(load_unet, self.checkpoint, device, files)

    def compose(self, base: UNet2DConditionModel, layers: Sequence[Any]) -> tuple[UNet2DConditionModel, int]:
        """The UNet with what lies over it, and the bytes that it does not share with the given one.

        Raises:
            NodeError: a LoRA does not fit it.
        """
        from nodes.sd.weights import patched_unet

        return _composed(patched_unet, base, self.patches, layers)


class Reader(NamedTuple):
    """What reads prompts: the tokenizer and the text encoder of one checkpoint."""

    tokenizer: CLIPTokenizer
    encoder: CLIPTextModel


@dataclass(frozen=True)
class TextEncoder(Patched):
    """The network that reads prompts: a recipe for a tokenizer and a text encoder."""

    checkpoint: Checkpoint
    patches: tuple[LoraPatch | HypernetworkPatch, ...] = ()
    embeddings: Embeddings = field(default_factory=Embeddings)
    """What its vocabulary is added to; the network itself stays as it is."""

    def triggers(self, files: Files) -> Catalogue:
        """Its embeddings by the words that mean them.

        Raises:
            NodeError: a file is gone, or is another than when it was named.
        """
        widths = {"clip_l": self.checkpoint.text_width}
        model = self.checkpoint.name, self.checkpoint.digest
        return self.embeddings.catalogue(files, widths, model)

    def pack(self) -> Packed:
        """The checkpoint and the embeddings as JSON; no weights, but vectors that no file holds."""
        meta, parts = self.embeddings.packed()
        return Packed(self.wire, {**cast("dict[str, Json]", super().pack().meta), "embeddings": meta}, parts)

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """The text encoder that `pack` made this of."""
        assert isinstance(meta, dict)
        return cls(**cls._unpacked(meta), embeddings=Embeddings.unpacked(meta["embeddings"], parts))

    def load(self, device: str, files: Files) -> tuple[Reader, int]:
        """The tokenizer, and the text encoder on a device, with nothing over it, and its bytes there."""
        from nodes.sd.weights import load_text_encoder, load_tokenizer

        encoder, size = _placed(load_text_encoder, self.checkpoint, device, files)
        return Reader(load_tokenizer(self.checkpoint.folder(files)), encoder), size

    def compose(self, base: Reader, layers: Sequence[Any]) -> tuple[Reader, int]:
        """The text encoder with what lies over it, and the bytes that it does not share with the given one.

        Raises:
            NodeError: a LoRA does not fit it.
        """
        from nodes.sd.weights import patched_text_encoder

        encoder, size = _composed(patched_text_encoder, base.encoder, self.patches, layers)
        return Reader(base.tokenizer, encoder), size


@dataclass(frozen=True)
class Vae(Recipe):
    """The network between pictures and latents: a recipe for a VAE."""

    checkpoint: Checkpoint

    def load(self, device: str, files: Files) -> tuple[AutoencoderKL, int]:
        """The VAE on a device, and the bytes that it takes there."""
        from nodes.sd.weights import load_vae

        # Always in float32: the activations of Stable Diffusion's VAEs overflow in half precision.
        return _placed(load_vae, self.checkpoint, device, files, half=False)


def _composed(patch: Any, network: Any, patches: Sequence[Any], layers: Sequence[Any]) -> tuple[Any, int]:
    from nodes.sd.json_file import ModelError

    try:
        composed: tuple[Any, int] = patch(network, list(zip(patches, layers, strict=True)))
    except ModelError as error:
        raise NodeError(str(error), code="bad_lora") from None
    return composed


def _placed(
    load: Any, checkpoint: Checkpoint, device: str, files: Files, *, half: bool = True
) -> tuple[Any, int]:
    """A network on a device, in half precision on a GPU, and the bytes that it takes there."""
    import torch

    from nodes.sd.json_file import ModelError

    try:
        found = torch.device(device)
        dtype = torch.float16 if half and found.type == "cuda" else torch.float32
        network = load(checkpoint.folder(files), dtype).to(found)
    except ModelError as error:
        raise NodeError(str(error), code="bad_model") from None
    except (RuntimeError, AssertionError) as error:
        if "memory" in str(error):
            raise
        hint = "choose another, such as --device cpu"
        raise NodeError(
            f"the device {device} cannot be used: {error}", hint=hint, code="bad_device"
        ) from None
    return network, sum(tensor.nbytes for tensor in network.state_dict().values())


@dataclass(frozen=True, eq=False)
class Conditioning(Value):
    """A prompt as the UNet reads it."""

    embeddings: torch.Tensor
    """float32 [1, 77 * chunks, width]: the prompt, or what it begins with if it changes."""
    tokens: int
    """How many places the prompt fills, of 75 in each chunk."""
    changing: tuple[PromptPart, ...] = ()
    """The parts that AND joins, and what each reads at which step; empty for one prompt that stays."""
    pooled: torch.Tensor | None = None
    """float32 [1, width]: the prompt in one vector, from text encoders that make one."""

    @property
    def parts(self) -> tuple[PromptPart, ...]:
        """What pulls at the picture: one part for a prompt without AND."""
        from nodes.sd.prompts.timeline import PromptPart

        return self.changing or (PromptPart((self.embeddings,)),)

    def summary(self) -> str:
        """The places used, its width, how large its rows are, and how often it changes."""
        rows, width = self.embeddings.shape[1:]
        told = [
            f"{self.tokens} of {75 * (rows // 77)} tokens",
            f"{width} wide",
            f"norm {float(self.embeddings.norm(dim=-1).mean()):.3g}",
        ]
        if len(self.parts) > 1:
            told.append(f"{len(self.parts)} parts")
        if any(len(part.encodings) > 1 for part in self.parts):
            told.append(f"{sum(len(part.encodings) for part in self.parts)} readings")
        return ", ".join(told)

    def pack(self) -> Packed:
        """The embeddings as safetensors; which counts when as JSON."""
        meta: dict[str, Json] = {"tokens": self.tokens}
        tensors = {"embeddings": self.embeddings}
        if self.pooled is not None:
            tensors["pooled"] = self.pooled
        if self.changing:
            meta["parts"] = [part.as_json() for part in self.changing]
            for number, part in enumerate(self.changing):
                for reading, encoding in enumerate(part.encodings):
                    tensors[f"{number}.{reading}"] = encoding
            del tensors["embeddings"]  # it is the first of these
        return _tensors(self, meta, tensors)

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """The conditioning that `pack` made this of."""
        from safetensors.torch import load

        from nodes.sd.prompts.timeline import PromptPart

        assert isinstance(meta, dict)
        tokens, told = meta["tokens"], meta.get("parts", [])
        assert isinstance(tokens, int)
        assert isinstance(told, list)
        tensors = load(parts["tensors"])
        changing = tuple(PromptPart.from_json(part, number, tensors) for number, part in enumerate(told))
        embeddings = changing[0].encodings[0] if changing else tensors["embeddings"]
        return cls(embeddings, tokens, changing, tensors.get("pooled"))


@dataclass(frozen=True, eq=False)
class Latent(Value):
    """Pictures as the UNet sees them, or the empty places for them."""

    samples: torch.Tensor
    """float32 [pictures, channels, height / 8, width / 8], scaled as the UNet takes them."""

    def summary(self) -> str:
        """How many, and how large."""
        count, _, height, width = self.samples.shape
        return f"{count} latent{'s' if count > 1 else ''}, {width} x {height}"

    def pack(self) -> Packed:
        """The samples as safetensors."""
        return _tensors(self, None, {"samples": self.samples})

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """The latent that `pack` made this of."""
        from safetensors.torch import load

        return cls(load(parts["tensors"])["samples"])


def _tensors(value: Value, meta: Json, tensors: dict[str, torch.Tensor]) -> Packed:
    from safetensors.torch import save

    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    return Packed(value.wire, meta, (Part("tensors", SAFETENSORS, data),))


@dataclass(frozen=True, eq=False)
class Image(Value):
    """One picture or a batch of equal size."""

    pixels: NDArray[numpy.uint8]
    """uint8 [pictures, height, width, 3], RGB."""

    def __post_init__(self) -> None:
        """Checks the pixels, and makes them safe from writes, in a copy of their own where it must be.

        Raises:
            TypeError: they are of another kind or shape.
        """
        pixels = self.pixels
        if pixels.dtype.name != "uint8" or pixels.ndim != 4 or pixels.shape[-1] != 3 or not pixels.size:
            found = f"{pixels.dtype} {list(pixels.shape)}"
            raise TypeError(f"an Image holds uint8 [pictures, height, width, 3], not {found}")
        if pixels.flags.writeable or pixels.base is not None:
            pixels = pixels.copy()
            pixels.setflags(write=False)
            object.__setattr__(self, "pixels", pixels)

    def summary(self) -> str:
        """How many, and how large."""
        count, height, width, _ = self.pixels.shape
        return f"{width} x {height}" + (f", {count} pictures" if count > 1 else "")

    def pack(self) -> Packed:
        """Each picture as a PNG."""
        from PIL import Image as pillow

        parts = []
        for number, picture in enumerate(self.pixels):
            file = io.BytesIO()
            pillow.fromarray(picture).save(file, "PNG")
            parts.append(Part(str(number), PNG, file.getvalue()))
        return Packed(self.wire, None, tuple(parts))

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """The pictures that `pack` made these of."""
        import numpy
        from PIL import Image as pillow

        pictures = []
        for number in range(len(parts)):
            with pillow.open(io.BytesIO(parts[str(number)]), formats=["PNG"]) as picture:
                pictures.append(numpy.asarray(picture.convert("RGB")))
        return cls(numpy.stack(pictures))
