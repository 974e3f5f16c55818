"""LoadCaptioner and Caption: write captions with a model that describes pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from engine.context import Context
from engine.errors import NodeError
from engine.files import Files
from engine.node import Node
from engine.values import Json
from engine.widgets import FileIn, Range
from nodes.dataset.dataset_parts import for_each_picture, without
from nodes.picture_sets.blip import CAPTIONERS, Blip, blip_files
from nodes.picture_sets.captioner import Captioner
from nodes.picture_sets.existing_captions import Existing, with_new_caption
from nodes.picture_sets.looks import FILE_ERRORS
from nodes.values import Dataset


class LoadCaptioner(Node, category="dataset"):
    """Load BLIP, a model that describes pictures, from a folder."""

    captioner: Annotated[str, FileIn(CAPTIONERS)]
    """The folder of the model: a name in `models/captioners`, or a path. It contains `config.json`,
    `preprocessor_config.json`, `tokenizer.json`, and `model.safetensors` or `pytorch_model.bin`, as
    `Salesforce/blip-image-captioning-base` has them. Nothing is downloaded."""
    prompt: str = ""
    """The beginning of each caption, such as `a photo of`. Empty: the model chooses."""
    beams: Annotated[int, Range(1, 16)] = 1
    """How many candidate captions the model follows at once (beam search). More give better captions and
    take longer."""
    shortest: Annotated[int, Range(0, 200)] = 24
    """The least length of a caption in tokens. A large number makes the model tell more, and invent more."""
    longest: Annotated[int, Range(2, 500)] = 48
    """The greatest length of a caption in tokens."""

    def fingerprint(self, files: Files) -> Json:
        """Return the digests of the model's files, so that changed files give a new result.

        Raises:
            NodeError: the folder does not exist, or a file is missing from it.
        """
        return [list(file) for file in blip_files(files, self.captioner)]

    def run(self, ctx: Context) -> Captioner:
        if self.shortest > self.longest:
            message = f"shortest ({self.shortest}) is more than longest ({self.longest})"
            raise NodeError(message, input="shortest", code="bad_length")
        return Blip(
            self.captioner,
            blip_files(ctx.files, self.captioner),
            self.prompt,
            self.beams,
            self.shortest,
            self.longest,
        )


class Caption(
    Node,
    category="dataset",
    returns_graph=True,
    accelerator=True,
    libraries=("torch", "transformers", "tokenizers", "pillow"),
    aliases=("Interrogate", "BLIP"),
):
    """Write a caption for each picture of a dataset with a model that describes pictures.

    Each picture is cached on its own: when pictures are added, only the new ones are described. The model
    sees a picture with its edits, so connect Preprocess before it to describe the crops.
    """

    dataset: Dataset
    captioner: Captioner
    existing: Existing = "keep"
    """What happens to a caption that a picture has from a text file, a JSONL file or a node: it is kept, and
    the picture is not described; replaced; or the new one is written before (`prepend`) or after it
    (`append`). The words of a file name are always replaced."""

    def run(self, ctx: Context) -> Dataset:
        """Write the captions.

        Raises:
            NodeError: the model cannot be loaded, or the file of a picture is missing or has changed.
        """
        if len(self.dataset) > 1:
            return ctx.expand(for_each_picture(self))  # type: ignore[no-any-return]
        if not self.dataset.pictures:
            return self.dataset
        (picture,) = self.dataset.pictures
        if self.existing == "keep" and picture.own_caption.strip():
            return self.dataset
        try:
            pixels = self.dataset.open(ctx.files, picture)
        except NodeError as error:
            if error.code not in FILE_ERRORS:
                raise
            return without(ctx, self.dataset, error.message)
        new = self.captioner.describe(ctx.use(self.captioner), pixels)
        return replace(self.dataset, pictures=(with_new_caption(picture, new, self.existing),))
