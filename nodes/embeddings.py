"""LoadEmbeddings, OpenEmbedding and SaveEmbedding: words of one's own for prompts."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from engine import whole_file
from engine.context import Context
from engine.errors import NodeError
from engine.files import Files
from engine.node import Node
from engine.values import Json
from engine.widgets import FileIn, Text
from nodes.embedding import Embedding
from nodes.embedding_files import KIND, EmbeddingFile, Embeddings, found, meant
from nodes.file_names import named
from nodes.values import TextEncoder

_TOLD = 5


class LoadEmbeddings(Node, category="load", passes={"out": "encoder"}):
    """Teach the words of embeddings (textual inversion) to a text encoder.

    Everything that A1111, ComfyUI, diffusers, InvokeAI, kohya and OneTrainer write is read. In a prompt, an
    embedding is meant by its file's name, by the name inside the file, by `<name>` or by `embedding:name`.
    """

    encoder: TextEncoder
    files: Annotated[str, FileIn(KIND)] = ""
    """A file or a folder of embeddings; nothing stands for all in `models/embeddings` and the further folders
    of the settings. With one named, changes to the others redo no picture."""
    embedding: Embedding | None = None
    """An embedding that was made in this graph; with it, files are taken only if `files` names them."""
    prompt: Text = ""
    """Wire the prompts here, too, and only the embeddings that they mean are taken: whatever else happens to
    the folder redoes no picture then. Empty, with `negative` empty, takes all."""
    negative: Text = ""
    """The negative prompt, likewise."""

    def fingerprint(self, files: Files) -> Json:
        """The names and digests of the files: new, changed and removed ones make another text encoder."""
        return [[file.root, file.name, file.digest] for file in self._found(files)[0]]

    def run(self, ctx: Context) -> TextEncoder:
        chosen, problems = self._found(ctx.files)
        for problem in problems[:_TOLD]:
            ctx.warn(f"not used: {problem}")
        if len(problems) > _TOLD:
            ctx.warn(f"not used: {len(problems) - _TOLD} more; safelight models --kind embedding lists them")
        made = () if self.embedding is None else (self.embedding,)
        if not chosen and not made and not self.prompt and not self.negative:
            looked = self.files or ", ".join(map(str, ctx.files.folders(KIND)))
            ctx.warn(f"there are no embeddings in {looked}")
        return replace(self.encoder, embeddings=self.encoder.embeddings + Embeddings(tuple(chosen), made))

    def _found(self, files: Files) -> tuple[list[EmbeddingFile], list[str]]:
        if self.embedding is not None and not self.files:
            return [], []
        chosen, problems = found(files, self.files)
        if not self.prompt and not self.negative:
            return chosen, problems
        # What cannot be used is told by whoever means it.
        return meant(files, chosen, f"{self.prompt}\n{self.negative}"), []


class OpenEmbedding(Node, category="load", libraries=("torch",)):
    """Take an embedding out of a file, to save it in another form or to train it further."""

    file: Annotated[str, FileIn(KIND)]
    """The name of a file in `models/embeddings`, or a path."""

    def fingerprint(self, files: Files) -> Json:
        """The digest of the file: a name alone says nothing."""
        return files.digest(self._path(files))

    def run(self, ctx: Context) -> Embedding:
        from nodes.sd.formats.bad_file import BadFileError
        from nodes.sd.formats.saved import open_embedding

        path = self._path(ctx.files)
        try:
            return Embedding(**open_embedding(path))
        except BadFileError as error:
            raise NodeError(str(error), input="file", code=error.code) from None

    def _path(self, files: Files) -> Path:
        return files.find(KIND, named(files, KIND, self.file) or self.file)


class SaveEmbedding(Node, category="save", pure=False, libraries=("torch", "safetensors")):
    """Write an embedding to a file that other tools read, too.

    It lands in the home's `outputs` folder, whoever made the graph; move it to `models/embeddings` to use it.
    """

    embedding: Embedding
    path: str = ""
    """Where to, inside the `outputs` folder; nothing stands for `embeddings/` and the embedding's name."""
    format: Literal["safetensors", "pt"] = "safetensors"
    """`safetensors` is read by every tool and cannot hold code; `pt` is for A1111 before 2023."""
    overwrite: bool = False
    """Replace what is there; otherwise the name gets the next free number."""

    def run(self, ctx: Context) -> str:
        from nodes.sd.formats.saved import as_pt, as_safetensors

        name = self.path or f"embeddings/{_file_name(self.embedding.name)}"
        place = ctx.files.target(name.removesuffix(f".{self.format}") + f".{self.format}")
        write = as_safetensors if self.format == "safetensors" else as_pt
        try:
            data = write(self.embedding)
        except ValueError as error:
            raise NodeError(str(error), input="embedding") from None
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if self.overwrite:
                whole_file.replace(place, data)
                return str(place)
            numbered = (place.with_stem(f"{place.stem}_{number:04}") for number in itertools.count(2))
            return str(whole_file.put(data, itertools.chain([place], numbered)))
        except OSError as error:
            raise NodeError(
                f"{place} cannot be written: {error.strerror}", input="path", code="unwritable"
            ) from None


def _file_name(name: str) -> str:
    """A name with what A1111 allows in one."""
    kept = "".join(letter for letter in name if letter.isalnum() or letter in "._- ")
    return kept.strip(" .")[:100] or "embedding"
