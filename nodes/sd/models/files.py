"""The description of a model's files: model family, noise schedule, and the files of each network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from nodes.sd.families.family import Component, Configs, EncoderName, EncoderRole, Family, NoiseSchedule
from nodes.sd.families.key_tables import KeyTable
from nodes.sd.models.configs import text_width
from nodes.sd.sampling.names import Prediction

_UNUSED = re.compile(
    r"(.*\.)?(position_ids|logit_scale|text_projection(\.weight)?|encoder\.embed_tokens\.weight)|loss\..*"
)
"""Names of tensors that tools save with a network and that it does not need: buffers, training losses, the
projection of a text encoder whose pooled vector is not read, and a second copy of T5's token vectors."""


class StoredNetwork(NamedTuple):
    """The files and tensor names of one network's weights."""

    files: tuple[Path, ...]
    """Large networks may be split into several files."""
    prefix: str
    """The prefix of its tensors' names; other tensors in the files belong to other networks."""
    table: KeyTable
    config_place: str
    """The origin of its config, for messages."""
    unused: tuple[str, ...] = ()
    """Prefixes of tensors that the network does not have and that can be ignored."""

    def ignored(self, name: str) -> bool:
        """Return whether a tensor in the file that the network does not have can be ignored."""
        return name.startswith(self.unused) or _UNUSED.fullmatch(name.removeprefix(self.prefix)) is not None


class ModelFiles(NamedTuple):
    """A model in a folder of the diffusers layout, or in a single file."""

    path: Path
    family: Family
    reason: str
    """The reason for recognising its family, in words."""
    prediction: Prediction
    noise: NoiseSchedule
    size: tuple[int, int]
    """The training resolution: width and height in pixels."""
    configs: Configs
    networks: Mapping[Component, StoredNetwork]
    tokenizers: Mapping[str, Path]
    """The folder of each tokenizer, by its name in the diffusers layout."""
    files: tuple[str, ...]
    """In a folder: the files that results depend on, relative to `path`, with `/`, sorted. The digest covers
    them. Empty for a single file."""
    zeros_for_empty_negative: bool | None = None
    """Whether an empty negative prompt is replaced by zeros, as the model's index says; None if it does not
    say, so that the family decides."""

    @property
    def latent_channels(self) -> int:
        """The channels of a latent."""
        channels: int = self.configs["vae"]["latent_channels"]
        return channels

    @property
    def vae_scale(self) -> int:
        """Pixels per latent cell, along each side."""
        return vae_scale(self.configs)

    @property
    def roles(self) -> tuple[EncoderRole, ...]:
        """The text encoders of the model: those of its family, without optional ones that it lacks."""
        return tuple(role for role in self.family.roles if role.component in self.configs)

    @property
    def text_widths(self) -> dict[EncoderName, int]:
        """The width of each text encoder's token vectors."""
        return {role.name: text_width(self.configs[role.component]) for role in self.roles}

    @property
    def context_width(self) -> int:
        """The width of the text embeddings that the UNet or transformer reads."""
        network = self.family.network
        width: int = self.configs[network.component][network.context]
        return width

    @property
    def unet_channels(self) -> int:
        """The input channels of the UNet or transformer: those of a latent, and 5 more in inpainting
        models."""
        network = self.family.network
        return network.channels(self.configs[network.component]["in_channels"], None)[0]


def vae_scale(configs: Configs) -> int:
    """Return the pixels per latent cell, along each side, from the configs of a model's networks."""
    return 1 << (len(configs["vae"]["block_out_channels"]) - 1)
