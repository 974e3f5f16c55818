"""Finds checkpoints by name, and describes them: architecture, noise schedule, size and digest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Self, cast

from engine.errors import NodeError
from engine.files import Files
from engine.near_names import meant, near
from engine.values import Json, canonical, sha256
from nodes.files.file_kinds import require_kind
from nodes.files.file_names import resolve
from nodes.files.located import located
from nodes.files.t5_vocabulary import HINT, t5_vocabulary
from nodes.sd.families.family import (
    Betas,
    Colours,
    Component,
    EncoderName,
    Family,
    Flow,
    NoiseSchedule,
)
from nodes.sd.families.known import families, family_named
from nodes.sd.formats.json_file import ModelError
from nodes.sd.formats.scan import scan
from nodes.sd.models.checkpoint_file import describe_file
from nodes.sd.models.files import ModelFiles
from nodes.sd.models.folder import describe_folder
from nodes.sd.models.part_files import describe_parts, text_encoder_family, unet_family, vae_family
from nodes.sd.sampling.names import Prediction

KIND = "checkpoints"

EMBEDDED = "safelight-tiny"
"""The model that comes with Safelight: small, trained, with the architecture of Stable Diffusion 1."""

_EMBEDDED_FOLDER = Path(__file__).parents[1] / "sd" / "tiny" / "weights"


@dataclass(frozen=True)
class Checkpoint:
    """The properties of a checkpoint, and the digest of its files."""

    name: str
    digest: str
    """The sha256 of the file; for a folder, that of the names and digests of the relevant files."""
    family: str
    """The name of the model family, such as `sd1`."""
    prediction: Prediction
    noise: NoiseSchedule
    latent_channels: int
    vae_scale: int
    """Pixels per latent cell, along each side."""
    width: int
    """The width in pixels of the pictures that it was trained on."""
    height: int
    text_widths: tuple[tuple[EncoderName, int], ...]
    """The width of the token vectors of each text encoder."""
    context_width: int
    """The width of the text embeddings that the UNet or transformer reads."""
    unet_channels: int
    """The input channels of the UNet or transformer: those of a latent, and 5 more in inpainting models."""
    parts: tuple[tuple[Component, str], ...] = ()
    """For networks in files of their own: the file name of each network. Empty for a whole model."""
    zeros_for_empty_negative: bool | None = None
    """Whether an empty negative prompt is replaced by zeros; None if the family decides."""

    @classmethod
    def from_json(cls, meta: dict[str, Json]) -> Self:
        """Restore a checkpoint from the JSON of `dataclasses.asdict`, also from that of earlier versions.

        They had one text encoder (`text_width`), or the noise schedule as `betas`.
        """
        plain = cast("dict[str, Any]", {**meta})
        if "text_width" in plain:
            width = plain.pop("text_width")
            plain["text_widths"], plain["context_width"] = [["clip_l", width]], width
            plain["unet_channels"] = plain["latent_channels"]
        widths = tuple((name, width) for name, width in plain.pop("text_widths"))
        parts = tuple((part, name) for part, name in plain.pop("parts", ()))
        if "betas" in plain:
            plain["noise"] = plain.pop("betas")
        noise = _noise(plain["prediction"], plain["noise"])
        return cls(**{**plain, "noise": noise, "text_widths": widths, "parts": parts})

    @property
    def empty_negative_is_zeros(self) -> bool:
        """Whether an empty negative prompt is replaced by zeros; the model's own setting, or its family's."""
        if self.zeros_for_empty_negative is not None:
            return self.zeros_for_empty_negative
        return family_named(self.family).zeros_for_empty_negative

    @property
    def colours(self) -> Colours | None:
        """The colours that previews give the latent channels; None if unknown."""
        return family_named(self.family).previews.get(self.context_width)

    def refuse_latent(self, made_with: str, noun: str) -> None:
        """Refuse a latent from a model of another family, unless both families use the same latents.

        A network accepts any latent with the right number of channels, so the picture would otherwise be
        wrong without an error.

        Args:
            made_with: the family of the model that made the latent; empty if unknown.
            noun: the network of this checkpoint that would read it, such as `VAE`.

        Raises:
            NodeError: the latent is of a family with other latents.
        """
        ours = family_named(self.family)
        theirs = next((family for family in families() if family.name == made_with), ours)
        if theirs.latents != ours.latents:
            hint = f"use the {noun} of the model that made the latent, or decode and encode in between"
            if self.parts:
                hint += (
                    "; if a loader of separate files took it for another family, connect its input `model`"
                )
            raise NodeError(
                f"the latent is of a {theirs.title} model, but the {noun} of {self.name} is of {ours.title}",
                hint=hint,
                input="latent",
                code="wrong_family",
            )

    def files(self, files: Files) -> ModelFiles:
        """Find and describe the files of this checkpoint.

        Raises:
            NodeError: a file is missing or has changed since the run was planned.
        """
        if self.parts:
            paths = {part: _part(files, part, name, part)[0] for part, name in self.parts}
            found = describe_parts(family_named(self.family), paths, t5_vocabulary(files))
            if _digest(files, found) == self.digest:
                return found
        else:
            places = list(_places(files, self.name))
            for path in places:
                found = _described(files, path)
                if _digest(files, found) == self.digest:
                    return found
            try:
                return _described(files, located(files, KIND, self.name, self.digest))
            except NodeError:
                if not places:  # it is missing, and was not replaced by another
                    raise
        raise NodeError(
            f"the files of {self.name!r} changed during the run",
            hint="run again to use the new files",
            code="changed_file",
        )


def _noise(prediction: Prediction, fields: list[Any]) -> NoiseSchedule:
    """Restore a noise schedule from the JSON of its fields."""
    if prediction != "flow":
        return Betas(*fields)
    flow = Flow(*fields)
    return flow if flow.by_size is None else flow._replace(by_size=(flow.by_size[0], flow.by_size[1]))


def checkpoint(files: Files, name: str) -> Checkpoint:
    """Find and describe the checkpoint with a name: `safelight-tiny`, a file, or a diffusers folder.

    Raises:
        NodeError: there is no such checkpoint, or it is not a model that Safelight runs.
    """
    return _checkpoint(files, name, _described(files, _found(files, name)))


PART_KINDS: dict[Component, str] = {
    "unet": "unet",
    "transformer": "unet",
    "vae": "vae",
    "text_encoder": "text_encoders",
    "text_encoder_2": "text_encoders",
    "text_encoder_3": "text_encoders",
}
"""The kind of file, which is the folder in `models`, of each network in a file of its own."""


def unet_checkpoint(files: Files, name: str) -> Checkpoint:
    """Find and describe a UNet or transformer in a file of its own.

    Raises:
        NodeError: there is no such file, or it is not a UNet or transformer that Safelight runs.
    """
    path, _ = _part(files, "unet", name, "unet")
    with _bad_model("unet"):
        family = unet_family(path)
        return _parts_checkpoint(files, family, {family.network.component: name})


def text_encoder_checkpoint(
    files: Files, names: Sequence[str], inputs: Sequence[str], family: str | None = None
) -> Checkpoint:
    """Find and describe the text encoders of a model in files of their own, given in any order.

    Args:
        files: the folders, and the digests of the files in them.
        names: the names of the files.
        inputs: for each name, the input of the node that gives it, for error messages.
        family: the family of the model that they are for; None to recognise it by the files.

    Raises:
        NodeError: there is no such file, no family has such text encoders, or T5 lacks its vocabulary.
    """
    paths = {
        _part(files, "text_encoder", name, input)[0]: name for name, input in zip(names, inputs, strict=True)
    }
    with _bad_model(inputs[0]):
        found, placed = text_encoder_family(paths, None if family is None else [family_named(family)])
        has_t5 = any(role.name == "t5" and role.component in placed for role in found.roles)
        if has_t5 and t5_vocabulary(files) is None:
            raise NodeError(
                "T5's vocabulary file is missing", hint=HINT, input=inputs[0], code="missing_vocabulary"
            )
        return _parts_checkpoint(files, found, {part: paths[path] for part, path in placed.items()})


def vae_checkpoint(files: Files, name: str, family: str | None) -> tuple[Checkpoint, bool]:
    """Find and describe a VAE in a file of its own; also returns False if its family is only a guess.

    Args:
        files: the folders, and the digests of the files in them.
        name: the name of the file.
        family: the family of the model that it is for; None to recognise it by the file.

    Raises:
        NodeError: there is no such file, or it is not a VAE that Safelight runs.
    """
    path, _ = _part(files, "vae", name, "vae")
    with _bad_model("vae"):
        found, known = vae_family(path) if family is None else (family_named(family), True)
        return _parts_checkpoint(files, found, {"vae": name}), known


def part_digest(files: Files, part: Component, name: str, input: str) -> str:
    """Return the sha256 of the file of one network, such as a VAE.

    Raises:
        NodeError: there is no such file, or it is of another kind.
    """
    return _part(files, part, name, input)[1]


def _parts_checkpoint(files: Files, family: Family, names: Mapping[Component, str]) -> Checkpoint:
    paths = {part: _part(files, part, name, part)[0] for part, name in names.items()}
    described = describe_parts(family, paths, t5_vocabulary(files))
    return replace(_checkpoint(files, " + ".join(names.values()), described), parts=tuple(names.items()))


def _part(files: Files, part: Component, name: str, input: str) -> tuple[Path, str]:
    """Find the file of one network, such as a VAE; returns its path and its sha256."""
    kind = PART_KINDS[part]
    try:
        path = files.find(kind, resolve(files, kind, name) or name)
    except NodeError as error:
        raise error.at(input) from None
    noun = "text_encoder" if kind == "text_encoders" else kind
    return path, require_kind(files, path, noun, input=input, also="checkpoint")


@contextmanager
def _bad_model(input: str) -> Iterator[None]:
    """Within the block, convert the error of an unusable model to a `NodeError` at an input."""
    try:
        yield
    except ModelError as error:
        raise NodeError(str(error), input=input, code=error.code) from None


def _checkpoint(files: Files, name: str, found: ModelFiles) -> Checkpoint:
    width, height = found.size
    return Checkpoint(
        name,
        _digest(files, found),
        found.family.name,
        found.prediction,
        found.noise,
        found.latent_channels,
        found.vae_scale,
        width,
        height,
        tuple(found.text_widths.items()),
        found.context_width,
        found.unet_channels,
        zeros_for_empty_negative=found.zeros_for_empty_negative,
    )


def _described(files: Files, path: Path) -> ModelFiles:
    with _bad_model("model"):
        if path.is_file():
            digest = require_kind(files, path, "checkpoint", input="model")
            return _described_file(path, digest, t5_vocabulary(files))
        return describe_folder(path)


def _places(files: Files, name: str) -> Iterator[Path]:
    """Yield the paths where a checkpoint may be: by its name, and any diffusers folder with that name."""
    with suppress(NodeError):
        yield _found(files, name)
    for folder in files.folders(KIND):
        for item in scan(Path(folder)):
            if item.model_folder and item.path.name == PurePosixPath(name).name:
                yield item.path


def _found(files: Files, name: str) -> Path:
    """Find a file or folder by name, with or without suffix; an error suggests similar names."""
    if name == EMBEDDED:
        return _EMBEDDED_FOLDER
    try:
        return files.find(KIND, resolve(files, KIND, name) or name)
    except NodeError as error:
        if error.code == "missing_file":
            names = [*files.names(KIND), EMBEDDED]
            error.hint = near(name, names) or error.hint
            error.instead = (name, known) if (known := meant(name, names)) is not None else None
        raise error.at("model") from None


@lru_cache(maxsize=32)
def _described_file(path: Path, digest: str, t5: Path | None) -> ModelFiles:
    """Describe a file, and cache the result by digest: reading a pickle takes a process of its own."""
    return describe_file(path, t5)


def _digest(files: Files, model: ModelFiles) -> str:
    """Return the digest of a model.

    For a single file it is the sha256 of the file, by which A1111 identifies it, too; for several files, the
    sha256 of their digests; for a folder, that of the names and digests. T5's vocabulary changes results, so
    it counts as one of the files of a model that uses it.
    """
    if not model.files:
        paths = [path for network in model.networks.values() for path in network.files]
        used = [role for role in model.roles if role.name == "t5" and role.component in model.networks]
        paths += [model.tokenizers[role.tokenizer] / "tokenizer.json" for role in used]
        digests = [files.digest(path) for path in paths]
        distinct = list(dict.fromkeys(digests))
        return distinct[0] if len(distinct) == 1 else sha256(canonical(cast(Json, distinct)))
    return sha256(canonical([[name, files.digest(model.path / name)] for name in model.files]))
