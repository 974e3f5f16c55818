"""DescribeLoRA and DescribeEmbeddings: the metadata of LoRA and embedding files, as data."""

from __future__ import annotations

from typing import Annotated, Any

from engine.context import Context
from engine.errors import NodeError
from engine.files import Files
from engine.node import Node
from engine.values import Json
from engine.widgets import FileIn
from nodes.files.embedding_files import KIND as EMBEDDINGS
from nodes.files.embedding_files import describe_files
from nodes.files.lora_files import lora_digest, resolve_lora
from nodes.files.patch_files import LORAS


class DescribeLoRA(Node, category="model"):
    """Show the metadata of a LoRA file: base model, kind, ranks, trigger words, training tags."""

    lora: Annotated[str, FileIn(LORAS)]
    """The LoRA: the name of a file in `models/loras`, with or without sub-folder and suffix, or a path."""

    def fingerprint(self, files: Files) -> Json:
        """Return the digest of the file, so that a changed file gives a new result.

        Raises:
            NodeError: there is no such file, or it is not a usable LoRA.
        """
        return lora_digest(files, self.lora, input="lora")

    def run(self, ctx: Context) -> dict[str, Any]:
        """Return the fields that `nodes.sd.lora.describe.describe` lists.

        Raises:
            NodeError: there is no such file, or it is not a usable LoRA.
        """
        from nodes.sd.formats.bad_file import BadFileError
        from nodes.sd.formats.read import read_tensors
        from nodes.sd.lora.describe import describe, shapes_of

        lora_digest(ctx.files, self.lora, input="lora")
        try:
            tensors = read_tensors(ctx.files.find(LORAS, resolve_lora(ctx.files, self.lora)))
        except BadFileError as error:
            raise NodeError(str(error), input="lora", code=error.code) from None
        return describe(shapes_of(tensors.entries), tensors.metadata)


class DescribeEmbeddings(Node, category="model"):
    """Show the metadata of embedding files: names in prompts, vectors, base model, steps.

    Like DescribeLoRA, it reads files and needs no model.
    """

    files: Annotated[str, FileIn(EMBEDDINGS)] = ""
    """An embedding file or a folder of them, with or without sub-folder and suffix. Empty: all files in
    `models/embeddings` and the further embedding folders of the settings."""

    def fingerprint(self, files: Files) -> Json:
        """Return the names and digests of the files, so that any change of files gives a new result."""
        return [[row["file"], row["sha256"]] for row in describe_files(files, self.files)]

    def run(self, ctx: Context) -> list[dict[str, Any]]:
        """Return one entry per embedding, in the order of the file names; files in sub-folders come last.

        Each has `file`, `sha256`, `format`, `names` (the ways to write it in a prompt), `vectors` (how many
        tokens it takes), `widths` (by text encoder; `only` in files that do not name one), `base` (model
        family), `base_model` and `base_hash` (what it was trained on), `step`, and `problem` (a `code` and a
        `message`, or null)."""
        return describe_files(ctx.files, self.files)
