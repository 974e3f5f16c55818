"""Describes networks in separate files: a UNet, a VAE, or the text encoders of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nodes.sd.families.family import Component, Family, Shapes, columns
from nodes.sd.families.key_tables import KeyTable
from nodes.sd.families.known import families
from nodes.sd.formats.json_file import ModelError, read_object
from nodes.sd.formats.read import read_tensors
from nodes.sd.formats.tensors import Tensors
from nodes.sd.models.checkpoint_file import (
    predicted,
    usual_config,
    usual_noise,
    vocabularies,
    without_prefix,
)
from nodes.sd.models.configs import network_class, text_width, titles, training_side
from nodes.sd.models.files import ModelFiles, StoredNetwork
from nodes.sd.models.folder import names_in_folder

_ANCHORS = {
    "AutoencoderKL": "decoder.mid_block.resnets.0.norm1.weight",
    "CLIPTextModel": "encoder.layers.0.layer_norm1.weight",
    "CLIPTextModelWithProjection": "encoder.layers.0.layer_norm1.weight",
    "T5EncoderModel": "encoder.block.0.layer.0.layer_norm.weight",
}
"""A tensor of the VAE and of each kind of text encoder, by its name in diffusers, whose stored name shows the
layout of a file."""


def unet_family(path: Path) -> Family:
    """Recognise the family of a UNet or transformer by the widths of the text embeddings and vectors that it
    reads.

    Raises:
        ModelError: the file is damaged, or no family has such a network.
    """
    shapes = _shapes(read_tensors(path))
    if (found := network_family(shapes)) is not None:
        return found
    read = ""
    for family in families():
        context, vectors = family.network.widths(shapes)
        if context is not None:
            more = f" and vectors of width {vectors}" if vectors else ""
            read = f" It reads text embeddings of width {context}{more}."
    raise ModelError(f"{path} is a model of an unknown family.{read} Safelight runs {titles()} models.")


def network_family(shapes: Shapes) -> Family | None:
    """Recognise the family of a UNet or transformer by the shapes of its tensors; None if it is unknown."""
    for family in families():
        network = family.network
        config = read_object(family.configs / f"{network.component}.json")
        if network.widths(shapes) == (config[network.context], config.get(network.vectors)):
            return family
    return None


def text_encoder_family(
    paths: Iterable[Path], among: Iterable[Family] | None = None
) -> tuple[Family, dict[Component, Path]]:
    """Recognise the family of text encoders in separate files.

    Args:
        paths: a file for each text encoder, in any order.
        among: the families to choose from; by default all of them. SDXL and SD 3 without T5 have text
            encoders of the same widths, so SDXL is taken.

    Returns:
        the family, and the file of each of its text encoders.

    Raises:
        ModelError: a file is damaged, or no family has such text encoders.
    """
    endings = ("token_embedding.weight", "shared.weight")
    widths = {path: columns(_shapes(read_tensors(path)), endings) for path in paths}
    whole = [(family, family.roles) for family in among or families()]
    needed = [
        (family, tuple(role for role in roles if not role.optional))
        for family, roles in whole
        if any(role.optional for role in roles)
    ]
    for family, roles in (*whole, *needed):
        wanted = {
            role.component: text_width(read_object(family.configs / f"{role.component}.json"))
            for role in roles
        }
        if sorted(wanted.values()) == sorted(width or 0 for width in widths.values()):
            by_width = {width: path for path, width in widths.items()}
            return family, {part: by_width[width] for part, width in wanted.items()}
    found = ", ".join(f"{path.name} of width {width}" for path, width in widths.items())
    raise ModelError(f"No model has the text encoders {found}. Safelight runs {titles()} models.")


def vae_family(path: Path) -> tuple[Family, bool]:
    """Recognise the family of a VAE by its metadata or its file name; also returns False for a guess.

    The networks of families whose latents have equally many channels are alike; only the scale of the latents
    differs.

    Raises:
        ModelError: the file is damaged, or no family has a VAE with its number of channels.
    """
    tensors = read_tensors(path)
    channels = next(
        (one.shape[1] for name, one in tensors.entries.items() if _is_first_kernel(name, one.shape)), None
    )
    alike = [
        family
        for family in families()
        if channels in (None, read_object(family.configs / "vae.json")["latent_channels"])
    ]
    if not alike:
        raise ModelError(f"{path} is a VAE for latents of {channels} channels, which no known model has.")
    architecture = tensors.metadata.get("modelspec.architecture", "").split("/")[0]
    stem = path.stem.lower()
    for family in sorted(alike, key=lambda family: -len(family.name)):
        if architecture == family.architecture or family.name in stem or stem == family.vae_file:
            return family, True
    return alike[0], False


def _is_first_kernel(name: str, shape: tuple[int, ...]) -> bool:
    return name.endswith("decoder.conv_in.weight") and len(shape) == 4


def describe_parts(family: Family, paths: Mapping[Component, Path], t5: Path | None = None) -> ModelFiles:
    """Describe networks of a family in separate files.

    Args:
        family: the family.
        paths: the file of each network.
        t5: the folder of T5's vocabulary; needed if `paths` has T5.

    Raises:
        ModelError: a file is damaged, or its tensor names have no known layout.
    """
    tensors = {part: read_tensors(path) for part, path in paths.items()}
    place = f"the architecture of {family.title}"
    networks = {
        part: StoredNetwork((file.path,), *_layout(family, part, file), place, family.layout.unused)
        for part, file in tensors.items()
    }
    configs: dict[Component, dict[str, Any]] = {}
    for part in {*family.needed, *paths}:
        shapes = without_prefix(_shapes(tensors[part]), networks[part].prefix) if part in networks else {}
        configs[part] = usual_config(family, part, shapes)
    unet = tensors.get(family.network.component)
    prediction = next(iter(family.sizes)) if unet is None else predicted(family, unet, _shapes(unet))
    side = training_side(family, prediction, place)
    return ModelFiles(
        path=next(iter(paths.values())),
        family=family,
        reason="the widths of its networks",
        prediction=prediction,
        noise=usual_noise(family, () if unet is None else unet.entries),
        size=(side, side),
        configs=configs,
        networks=networks,
        tokenizers=vocabularies((role for role in family.roles if role.component in configs), t5),
        files=(),
    )


def _layout(family: Family, part: Component, tensors: Tensors) -> tuple[str, KeyTable]:
    """Determine the layout of a network in a file: the prefix and the table of its tensor names.

    Raises:
        ModelError: the layout is unknown.
    """
    table, prefix = family.layout.tables[part], family.layout.prefixes[part]
    anchor = _ANCHORS.get(network_class(family, part), family.network.anchor)
    for beginning, names in ((prefix, table), ("", table), ("", names_in_folder(family, part))):
        ways = names([anchor])[anchor]
        if any(beginning + way.name in tensors.entries for way in ways):
            return beginning, names
    raise ModelError(f"{tensors.path} contains no {part} of {family.title} in a known layout.")


def _shapes(tensors: Tensors) -> dict[str, tuple[int, ...]]:
    return {name: entry.shape for name, entry in tensors.entries.items()}
