"""LoadModel, LoadUnet, LoadTextEncoder and LoadVae: a checkpoint, or its networks from files of their own."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from engine.context import Context
from engine.files import Files
from engine.node import Node
from engine.values import Json
from engine.widgets import FileIn
from nodes.files.checkpoints import (
    EMBEDDED,
    KIND,
    PART_KINDS,
    checkpoint,
    part_digest,
    text_encoder_checkpoint,
    unet_checkpoint,
    vae_checkpoint,
)
from nodes.files.t5_vocabulary import t5_vocabulary
from nodes.sd.families.known import family_named
from nodes.values import Model, TextEncoder, Vae


class Loaded(NamedTuple):
    """The three networks of a checkpoint, as recipes: no weights are loaded yet."""

    model: Model
    encoder: TextEncoder
    vae: Vae


class LoadModel(Node, category="model", aliases=("CheckpointLoaderSimple", "LoadCheckpoint")):
    """Load a checkpoint: the model (UNet or transformer), its text encoder and its VAE."""

    model: Annotated[str, FileIn(KIND)] = EMBEDDED
    """The checkpoint: `safelight-tiny`, which comes with Safelight, or a model in `models/checkpoints`:
    a file (`.safetensors`, or `.ckpt`, whose code is not executed) or a folder in the diffusers layout. SD 1,
    SD 2, SDXL, the SDXL refiner, SD 3, SD 3.5, FLUX.1 dev and FLUX.1 schnell load. Single files lack the
    vocabulary of the text encoder T5: put the `tokenizer.json` of T5 into `models/tokenizers/t5`. FLUX.1
    needs it; SD 3 runs without T5 if it is missing."""

    def fingerprint(self, files: Files) -> Json:
        """Return the digest of the checkpoint's files, so that changed files give a new result.

        Raises:
            NodeError: there is no such checkpoint, or it is not a model that Safelight runs.
        """
        return checkpoint(files, self.model).digest

    def run(self, ctx: Context) -> Loaded:
        found = checkpoint(ctx.files, self.model)
        return Loaded(Model(found), TextEncoder(found), Vae(found))


class LoadUnet(Node, category="model", aliases=("UNETLoader",)):
    """Load a model (UNet or transformer) from a file of its own, or the model alone of a checkpoint."""

    unet: Annotated[str, FileIn(PART_KINDS["unet"])]
    """The file: a name in `models/unet`, with or without sub-folder and suffix, or a path. SD 1, SD 2, SDXL,
    the SDXL refiner, SD 3, SD 3.5, FLUX.1 dev and FLUX.1 schnell load, with the names of tensors of their
    authors or of diffusers, in 32, 16 or 8 bits."""

    def fingerprint(self, files: Files) -> Json:
        """Return the digest of the file, so that a changed file gives a new result.

        Raises:
            NodeError: there is no such file, or it is of another kind.
        """
        return part_digest(files, "unet", self.unet, "unet")

    def run(self, ctx: Context) -> Model:
        return Model(unet_checkpoint(ctx.files, self.unet))


class LoadTextEncoder(Node, category="model", aliases=("CLIPLoader", "DualCLIPLoader", "TripleCLIPLoader")):
    """Load a text encoder from a file of its own, or the two or three of SDXL, SD 3 and FLUX.1."""

    encoder: Annotated[str, FileIn(PART_KINDS["text_encoder"])]
    """The file: a name in `models/text_encoders`, with or without sub-folder and suffix, or a path."""
    second: Annotated[str, FileIn(PART_KINDS["text_encoder"])] = ""
    """The second text encoder of SDXL, SD 3 or FLUX.1, in any order. Empty for models with one text
    encoder."""
    third: Annotated[str, FileIn(PART_KINDS["text_encoder"])] = ""
    """The third text encoder of SD 3, in any order. T5, which FLUX.1 has too, needs its vocabulary in
    `models/tokenizers/t5`: the `tokenizer.json` of T5."""
    model: Model | None = None
    """The model that reads the prompts. It tells SD 3 without T5 from SDXL, whose text encoders have the same
    widths; without it, two CLIPs are taken for those of SDXL. FLUX.1 schnell reads 256 tokens of T5, and
    dev 512; without it, 512 are encoded."""

    def fingerprint(self, files: Files) -> Json:
        """Return the digests of the files and of T5's vocabulary, so that a changed file gives a new result.

        Raises:
            NodeError: there is no such file, or it is of another kind.
        """
        digests: list[Json] = [
            part_digest(files, "text_encoder", name, input) for input, name in self._names.items()
        ]
        vocabulary = t5_vocabulary(files) if len(digests) > 1 else None
        return [*digests, files.digest(vocabulary / "tokenizer.json")] if vocabulary else digests

    def run(self, ctx: Context) -> TextEncoder:
        family = None if self.model is None else self.model.checkpoint.family
        names = self._names
        return TextEncoder(text_encoder_checkpoint(ctx.files, list(names.values()), list(names), family))

    @property
    def _names(self) -> dict[str, str]:
        """Return the names of the files by the input that gives them."""
        return {name: given for name in ("encoder", "second", "third") if (given := getattr(self, name))}


class LoadVae(Node, category="model", aliases=("VAELoader",)):
    """Load a VAE from a file of its own."""

    vae: Annotated[str, FileIn(PART_KINDS["vae"])]
    """The file: a name in `models/vae`, with or without sub-folder and suffix, or a path."""
    model: Model | None = None
    """The model whose latents it decodes, which tells their scale: that of SD 1 and 2, of SDXL, of SD 3, or
    of FLUX.1. Without it, the metadata or the name of the file must tell (that of FLUX.1 is `ae`). Otherwise
    SD 1 is assumed, or FLUX.1 for latents of 16 channels."""

    def fingerprint(self, files: Files) -> Json:
        """Return the digest of the file, so that a changed file gives a new result.

        Raises:
            NodeError: there is no such file, or it is of another kind.
        """
        return [part_digest(files, "vae", self.vae, "vae"), self.vae]

    def run(self, ctx: Context) -> Vae:
        family = None if self.model is None else self.model.checkpoint.family
        found, known = vae_checkpoint(ctx.files, self.vae, family)
        if not known:
            ctx.warn(
                f"the file {self.vae} does not tell its model family, so"
                f" {family_named(found.family).title} is assumed; connect `model` to be sure"
            )
        return Vae(found)
