"""LoadDataset: reads a folder of pictures with captions, for training."""

from __future__ import annotations

from typing import Annotated

from engine.context import Context
from engine.files import Files
from engine.node import Node
from engine.values import Json, canonical, sha256
from engine.widgets import Advanced, FileIn
from nodes.picture_sets.dataset import KIND
from nodes.picture_sets.folder import Captions, find_files, read_folder
from nodes.values import Dataset

_MOST_WARNINGS = 5


class LoadDataset(Node, category="dataset", version=2):
    """Load a folder of pictures with captions, for training.

    Each picture gets the first of these captions: the text of `NAME.txt`, of `NAME.caption`, of its line in
    `metadata.jsonl`, or the words of its file name. A picture `NAME-masklabel.png` or `NAME.mask.png`
    beside `NAME.png` is its mask.
    """

    folder: Annotated[str, FileIn(KIND, folder=True)]
    """The folder of the pictures: a name in the `inputs` folder, or a path."""
    subfolders: bool = True
    """Also load the pictures in sub-folders. Templates may use the path of the sub-folder as `[folder]`."""
    captions: Captions = "auto"
    """The source of the captions. `auto` takes the first that exists; `files` only the text files beside the
    pictures; `jsonl` only `metadata.jsonl`; `names` only the file names; `none` gives no captions."""
    word_regex: Annotated[str, Advanced] = ""
    """A regular expression for the words of a file name, such as `\\w+` (A1111: filename word regex). Empty:
    the name without its suffix and without leading digits and dashes."""
    join: Annotated[str, Advanced] = " "
    """The text between the words that `word_regex` finds (A1111: filename join string)."""

    def fingerprint(self, files: Files) -> Json:
        """Compute a digest of the names and contents of the files, so that each change gives a new dataset.

        It includes the names of the files that are left out, since the dataset lists them.

        Raises:
            NodeError: the folder does not exist, or a file in it cannot be read.
        """
        found = find_files(files, self.folder, subfolders=self.subfolders)
        used: list[Json] = [[name, files.digest(found.root / name)] for name in found.all()]
        left_out: list[Json] = [[file.name, file.reason] for file in found.left_out]
        return sha256(canonical([used, left_out]))

    def run(self, ctx: Context) -> Dataset:
        """List the pictures of the folder and read their captions.

        Raises:
            NodeError: the folder has no pictures, or a caption cannot be read.
        """
        with ctx.files.unchanged():
            found = find_files(ctx.files, self.folder, subfolders=self.subfolders)
            for name in found.all():
                ctx.files.digest(found.root / name)
            dataset = read_folder(
                ctx.files,
                self.folder,
                found,
                captions=self.captions,
                word_regex=self.word_regex,
                join=self.join,
            )
        for file in found.left_out[:_MOST_WARNINGS]:
            ctx.warn(f"{file.name} is left out: {file.reason}")
        if len(found.left_out) > _MOST_WARNINGS:
            more = len(found.left_out) - _MOST_WARNINGS
            ctx.warn(f"{more} more files are left out, because they cannot be read or are not pictures")
        return dataset
