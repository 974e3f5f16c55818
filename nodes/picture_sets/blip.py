"""A recipe for BLIP, a model that describes pictures (arXiv:2201.12086), from a local folder."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

from engine.devices.compute import ComputeSettings
from engine.errors import NodeError
from engine.files import Files
from engine.values import Json, Packed
from nodes.picture_sets.captioner import Captioner

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

CAPTIONERS = "captioners"
_CONFIG, _PICTURES, _TOKENIZER = "config.json", "preprocessor_config.json", "tokenizer.json"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_TOKENIZER_LIMIT = 32 << 20


class LoadedBlip(NamedTuple):
    """BLIP, loaded onto a device."""

    model: Any
    """A `BlipForConditionalGeneration`."""
    pictures: Any
    """A `BlipImageProcessorPil`."""
    tokenizer: Any
    """A `tokenizers.Tokenizer`."""


@dataclass(frozen=True)
class Blip(Captioner, wire="Blip", lossless=True):
    """A recipe for BLIP, and how it writes captions."""

    folder: str = field(compare=False)
    """The folder when the recipe was made: where to look first."""
    files: tuple[tuple[str, str], ...]
    """The names of its files, and the sha256 of their contents."""
    prompt: str = ""
    """The beginning of each caption."""
    beams: int = 1
    """How many captions are followed at once (beam search); 1 takes the likeliest word each time."""
    shortest: int = 24
    """The least number of tokens of a caption."""
    longest: int = 48
    """The greatest number of tokens of a caption."""

    @property
    def identity(self) -> Hashable:
        """The key under which it is loaded: files with equal content are loaded once."""
        return self.wire, self.files

    def summary(self) -> str:
        """The folder."""
        return f"BLIP in {self.folder}"

    def pack(self) -> Packed:
        """Pack the fields as JSON, without weights."""
        files: list[Json] = [[name, digest] for name, digest in self.files]
        return Packed(
            self.wire,
            {
                "folder": self.folder,
                "files": files,
                "prompt": self.prompt,
                "beams": self.beams,
                "shortest": self.shortest,
                "longest": self.longest,
            },
        )

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """Restore the recipe from what `pack` returned."""
        plain = cast("dict[str, Any]", meta)
        return cls(**{**plain, "files": tuple((name, digest) for name, digest in plain["files"])})

    def size(self, compute: ComputeSettings, files: Files) -> int:
        """Return the bytes of the weights, by the size of their file."""
        name = next(name for name, _ in self.files if name in _WEIGHTS)
        return (self._place(files) / name).stat().st_size

    def load(self, compute: ComputeSettings, files: Files) -> tuple[LoadedBlip, int]:
        """Load the model onto the device. Nothing is downloaded.

        Raises:
            NodeError: a file is missing, has changed, or does not belong to a BLIP that writes captions.
        """
        import torch
        from tokenizers import Tokenizer
        from transformers import BlipConfig, BlipForConditionalGeneration
        from transformers.initialization import no_init_weights
        from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

        from nodes.sd.formats.bad_file import BadFileError
        from nodes.sd.formats.json_file import ModelError, read_object, read_text
        from nodes.sd.formats.read import read_tensors

        place = self._place(files)
        weights = next(name for name, _ in self.files if name in _WEIGHTS)
        try:
            tensors = read_tensors(place / weights)
            config = BlipConfig.from_dict(read_object(place / _CONFIG))
            with no_init_weights():
                model = BlipForConditionalGeneration(config)
            missing, _ = model.load_state_dict(tensors.some(tensors), strict=False)
            model.tie_weights()
            pictures = BlipImageProcessorPil.from_dict(read_object(place / _PICTURES))
            tokenizer = Tokenizer.from_str(read_text(place / _TOKENIZER, _TOKENIZER_LIMIT))
        except (ModelError, BadFileError) as error:
            raise NodeError(str(error), input="captioner", code="bad_captioner") from None
        except Exception as error:  # transformers and tokenizers raise any exception for malformed files
            message = f"{place} cannot be loaded as a BLIP: {error}"
            raise NodeError(message, input="captioner", code="bad_captioner") from error
        if missing := sorted(set(missing) - set(model.all_tied_weights_keys)):
            message = f"{place / weights} lacks {len(missing)} tensors of BLIP, such as {missing[0]}"
            raise NodeError(message, input="captioner", code="bad_captioner")
        model = (
            model.eval().requires_grad_(False).to(torch.device(compute.device), getattr(torch, compute.dtype))
        )
        bytes_there = sum(tensor.nbytes for tensor in {id(one): one for one in model.parameters()}.values())
        return LoadedBlip(model, pictures, tokenizer), bytes_there

    def describe(self, loaded: LoadedBlip, picture: Picture) -> str:
        """Describe a picture."""
        import torch

        parameter = next(loaded.model.parameters())
        pixels = loaded.pictures(picture, return_tensors="pt")["pixel_values"].to(parameter)
        ids = None
        if self.prompt:
            ids = torch.tensor([loaded.tokenizer.encode(self.prompt).ids], device=parameter.device)
        with torch.no_grad():
            (written,) = loaded.model.generate(
                pixel_values=pixels,
                input_ids=ids,
                num_beams=self.beams,
                do_sample=False,
                min_length=self.shortest,
                max_length=self.longest,
            )
        text: str = loaded.tokenizer.decode(written.tolist(), skip_special_tokens=True)
        return " ".join(text.split())

    def _place(self, files: Files) -> Path:
        """Find the folder of the files, even if it was moved.

        Raises:
            NodeError: a file is missing or has changed.
        """
        try:
            folder = files.find(CAPTIONERS, self.folder)
        except NodeError:
            seen = files.last_seen(self.files[0][1])
            if seen is None:
                raise
            folder = seen.path.parent
        for name, digest in self.files:
            if not (folder / name).is_file() or files.digest(folder / name) != digest:
                message = f"{folder / name} is missing or has changed"
                hint = "run again to use its current content"
                raise NodeError(message, hint=hint, input="captioner", code="changed_file")
        return folder


def blip_files(files: Files, folder: str) -> tuple[tuple[str, str], ...]:
    """Find the files of BLIP in a folder; returns their names and digests.

    Raises:
        NodeError: there is no such folder, or a file is missing from it.
    """
    place = files.find(CAPTIONERS, folder)
    weights = next((name for name in _WEIGHTS if (place / name).is_file()), _WEIGHTS[0])
    names = (_CONFIG, _PICTURES, _TOKENIZER, weights)
    for name in names:
        if not (place / name).is_file():
            message = f"{place} has no {name}"
            hint = "give the folder of a BLIP captioning model, such as blip-image-captioning-base"
            raise NodeError(message, hint=hint, input="captioner", code="missing_file")
    return tuple((name, files.digest(place / name)) for name in names)
