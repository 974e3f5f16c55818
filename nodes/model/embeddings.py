"""LoadEmbeddings, OpenEmbedding and SaveEmbedding: read and write textual-inversion embedding files."""

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
from nodes.files.embedding_files import (
    KIND,
    EmbeddingFile,
    Embeddings,
    find_embedding,
    find_embeddings,
    named_in_prompt,
)
from nodes.files.new_file import NAME_IT, require_file_name
from nodes.sd.embeddings.embedding import Embedding
from nodes.values import Image, TextEncoder

_MOST_WARNINGS = 5


class LoadEmbeddings(Node, category="model", passes={"out": "encoder"}, aliases=("EmbeddingLoader",)):
    """Load textual-inversion embeddings into a text encoder.

    Reads the files of A1111, ComfyUI, diffusers, InvokeAI, kohya and OneTrainer. In a prompt, write the name
    of the file, the name inside the file, `<name>` or `embedding:name`.
    """

    encoder: TextEncoder
    files: Annotated[str, FileIn(KIND)] = ""
    """An embedding file or a folder of them, with or without sub-folder and suffix. Empty: all files in
    `models/embeddings` and the further embedding folders of the settings."""
    embedding: Embedding | None = None
    """An embedding made in this graph. If it is connected, files are loaded only if `files` names them."""
    prompt: Text = ""
    """Connect the prompt here to load only the embeddings that it names; changes to other files then do not
    cause a new run. Empty, with `negative` empty: all embeddings are loaded."""
    negative: Text = ""
    """The negative prompt, used in the same way as `prompt`."""

    def fingerprint(self, files: Files) -> Json:
        """Return the names and digests of the files, so that any change of files gives a new result."""
        return [[file.root, file.name, file.digest] for file in self._chosen(files)[0]]

    def run(self, ctx: Context) -> TextEncoder:
        chosen, problems = self._chosen(ctx.files)
        for problem in problems[:_MOST_WARNINGS]:
            ctx.warn(f"not loaded: {problem}")
        if len(problems) > _MOST_WARNINGS:
            count = len(problems) - _MOST_WARNINGS
            ctx.warn(f"{count} more files were not loaded; `safelight models --kind embedding` lists them")
        made = () if self.embedding is None else (replace(self.embedding, optimizer=None),)
        if not chosen and not made and not self.prompt and not self.negative:
            searched = self.files or ", ".join(map(str, ctx.files.folders(KIND)))
            ctx.warn(f"there are no embeddings in {searched}")
        return replace(self.encoder, embeddings=self.encoder.embeddings + Embeddings(tuple(chosen), made))

    def _chosen(self, files: Files) -> tuple[list[EmbeddingFile], list[str]]:
        """Find the embeddings to load; also returns one message for each file that cannot be used."""
        if self.embedding is not None and not self.files:
            return [], []
        chosen, problems = find_embeddings(files, self.files)
        if not self.prompt and not self.negative:
            return chosen, problems
        # EncodePrompt warns about the unusable files that its prompt names.
        return named_in_prompt(f"{self.prompt}\n{self.negative}", files, chosen), []


class OpenEmbedding(Node, category="model", libraries=("torch",)):
    """Read one embedding from a file, to save it in another format or to continue its training.

    If a file of the same name with `.optim` lies beside it, as A1111 writes it, the state of the optimizer is
    read, too.
    """

    file: Annotated[str, FileIn(KIND)]
    """The embedding: the name of a file in `models/embeddings`, with or without sub-folder and suffix, or a
    path."""

    def fingerprint(self, files: Files) -> Json:
        """Return the digest of the file, so that a changed file gives a new result.

        Raises:
            NodeError: there is no such file, or it is not a usable embedding.
        """
        path, digest = find_embedding(files, self.file, input="file")
        state = _optimizer_file(path)
        return [digest, files.digest(state) if state.is_file() else None]

    def run(self, ctx: Context) -> Embedding:
        from nodes.sd.embeddings.adam_state import read_optim
        from nodes.sd.embeddings.saved import open_embedding
        from nodes.sd.formats.bad_file import BadFileError

        path, _ = find_embedding(ctx.files, self.file, input="file")
        try:
            embedding = Embedding(**open_embedding(path))
        except BadFileError as error:
            raise NodeError(str(error), input="file", code=error.code) from None
        beside = _optimizer_file(path)
        if not beside.is_file() or len(embedding.vectors) != 1:
            return embedding
        ((name, vectors),) = embedding.vectors.items()
        try:
            state = read_optim(beside, vectors)
        except BadFileError as error:
            ctx.warn(f"the optimizer's state is not used: {error}")
            return embedding
        if state is None:
            ctx.warn(f"{beside} does not fit the embedding's vectors, so the optimizer's state is not used")
            return embedding
        return replace(embedding, optimizer={name: state})


class SaveEmbedding(Node, category="model", pure=False, libraries=("torch", "safetensors", "pillow")):
    """Save an embedding to a file that Safelight and other tools read.

    The file is written to the `outputs` folder; move it to `models/embeddings` to use it.
    """

    embedding: Embedding
    path: str = ""
    """The file to write, inside the `outputs` folder. Empty: the embedding's name, in `embeddings/`."""
    format: Literal["safetensors", "pt", "bin", "png"] = "safetensors"
    """`safetensors` is read by every current tool and cannot contain code; `pt` is for A1111 before 2023.
    `bin`, for old versions of diffusers, has the vectors only, without the notes on the training. `png` is a
    picture that carries the embedding, as A1111 makes it."""
    overwrite: bool = False
    """Replace an existing file. Off: the new file gets the next free number."""
    optimizer: bool = False
    """With `pt`: also write the state of the optimizer, `NAME.pt.optim`, with which A1111 and TrainTI
    continue the training. Only an embedding trained with `adam` or `adamw` has one."""
    image: Image | None = None
    """The picture for `png`, at least 64 pixels high; it gets a caption. Without it, the picture is plain."""

    def run(self, ctx: Context) -> str:
        own = self.embedding.name
        name = self.path or f"embeddings/{require_file_name(own, input='embedding', hint=NAME_IT)}"
        place = ctx.files.target(name.removesuffix(f".{self.format}") + f".{self.format}")
        try:
            data = self._data()
        except ValueError as error:
            raise NodeError(str(error), input="embedding") from None
        state = self._optimizer_state() if self.optimizer else None
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if self.overwrite:
                whole_file.replace(place, data)
            else:
                numbered = (place.with_stem(f"{place.stem}_{number:04}") for number in itertools.count(2))
                place = whole_file.put(data, itertools.chain([place], numbered))
            if state is not None:
                whole_file.replace(_optimizer_file(place), state)
            return str(place)
        except OSError as error:
            raise NodeError(
                f"{place} cannot be written: {error.strerror}", input="path", code="unwritable"
            ) from None

    def _optimizer_state(self) -> bytes:
        """Encode the content of the `.optim` file.

        Raises:
            NodeError: the format has no such file, or the embedding has no state of an optimizer.
        """
        from nodes.sd.embeddings.adam_state import as_optim

        states = self.embedding.optimizer or {}
        if self.format != "pt" or len(states) != 1:
            reason = "only the format `pt` supports it" if self.format != "pt" else "the embedding has none"
            raise NodeError(
                f"the optimizer's state cannot be saved: {reason}",
                hint="train with adamw and without `average`, and save as pt",
                input="optimizer",
                code="no_optimizer_state",
            )
        ((name, state),) = states.items()
        return as_optim(self.embedding.vectors[name], state)

    def _data(self) -> bytes:
        """Encode the content of the embedding file.

        Raises:
            ValueError: the format cannot hold the embedding.
        """
        import numpy

        from nodes.sd.embeddings.saved import as_bin, as_png, as_pt, as_safetensors

        if self.format == "png":
            plain = numpy.full((256, 256, 3), 64, numpy.uint8)
            return as_png(self.embedding, plain if self.image is None else self.image.pixels[0])
        write = {"safetensors": as_safetensors, "pt": as_pt, "bin": as_bin}[self.format]
        return write(self.embedding)


def _optimizer_file(embedding: Path) -> Path:
    """Return the path of the file with the state of the optimizer, beside an embedding file."""
    return embedding.with_name(f"{embedding.name}.optim")
