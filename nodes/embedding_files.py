"""The embeddings of a text encoder, as a recipe: files by their digests, vectors made in the same graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from engine.errors import NodeError
from engine.files import Files
from engine.values import Json, Part
from nodes.embedding import Embedding
from nodes.file_names import named
from nodes.known_files import facts, unchanged

if TYPE_CHECKING:
    import torch

    from nodes.sd.formats.catalogue import Catalogue, Source

KIND = "embeddings"
_OTHER_KINDS = frozenset({"picture"})


@dataclass(frozen=True)
class EmbeddingFile:
    """One file of embeddings, by its place and by what is in it."""

    given: str
    """The file or folder that was asked for; empty for all of the folders of embeddings."""
    root: int
    """Which of these folders, if all were asked for."""
    name: str
    """The way from there, with `/`; empty where a file itself was asked for."""
    digest: str

    def path(self, files: Files) -> Path:
        """Where it lies.

        Raises:
            NodeError: the folder that was asked for is gone.
        """
        if self.given:
            return files.find(KIND, self.given) / self.name
        return list(files.folders(KIND))[self.root] / self.name

    @property
    def label(self) -> str:
        """What messages and triggers call it."""
        return self.name or Path(self.given).name


@dataclass(frozen=True)
class Embeddings:
    """What a text encoder's vocabulary is added to; hashes, and travels, as a few names and digests."""

    files: tuple[EmbeddingFile, ...] = ()
    made: tuple[Embedding, ...] = ()
    """Those that were made in the same graph; they go before files of the same name."""

    def __bool__(self) -> bool:
        return bool(self.files or self.made)

    def __add__(self, other: Embeddings) -> Embeddings:
        files = dict.fromkeys((*self.files, *other.files))
        return Embeddings(tuple(files), (*self.made, *other.made))

    def packed(self) -> tuple[Json, tuple[Part, ...]]:
        """These as JSON and parts."""
        made = [embedding.pack() for embedding in self.made]
        meta = {"files": [asdict(file) for file in self.files], "made": [packed.meta for packed in made]}
        parts = (
            Part(f"embedding{n}", packed.parts[0].media, packed.parts[0].data)
            for n, packed in enumerate(made)
        )
        return cast(Json, meta), tuple(parts)

    @classmethod
    def unpacked(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """The embeddings that `packed` made this of."""
        plain = cast("dict[str, Any]", meta)
        made = (
            Embedding.unpack(item, {"tensors": parts[f"embedding{n}"]})
            for n, item in enumerate(plain["made"])
        )
        return cls(tuple(EmbeddingFile(**file) for file in plain["files"]), tuple(made))

    def catalogue(
        self, files: Files, widths: Mapping[str, int], model: tuple[str, str] | None = None
    ) -> Catalogue:
        """All of them by the words that mean them, for one model.

        Args:
            files: finds the files, and knows their digests.
            widths: how wide the vectors are that each text encoder of the model reads: {"clip_l": 768}.
            model: its name, and its digest.

        Raises:
            NodeError: a file is gone, or is another than when the run was planned.
        """
        from nodes.sd.formats.catalogue import Catalogue, Source

        paths = [file.path(files) for file in self.files]
        known = facts(files, [(path, file.digest) for path, file in zip(paths, self.files, strict=True)])
        folders = [Path(folder).name for folder in files.folders(KIND)]
        sources = [_source(embedding) for embedding in self.made]
        for file, path in zip(self.files, paths, strict=True):
            read = _reader(files, path, file.digest)
            folder = folders[file.root] if file.root and not file.given else ""
            sources.append(Source(file.label, known[file.digest], read, file.digest, folder))
        return Catalogue(sources, widths, model)


def _source(embedding: Embedding) -> Source:
    """An embedding of the same graph, as a catalogue takes it."""
    from nodes.sd.formats.catalogue import Source
    from nodes.sd.formats.embedding import Term, Vectors
    from nodes.sd.formats.facts import Facts

    shapes = {
        name: Vectors((name,), tensor.shape[0], tensor.shape[1]) for name, tensor in embedding.vectors.items()
    }
    facts = Facts("embedding", "Safelight", (Term(embedding.name, shapes),))
    digest = embedding.pack().digest
    return Source(embedding.name, facts, lambda: embedding.vectors, digest, on_disk=False)


def _reader(files: Files, path: Path, digest: str) -> Callable[[], Mapping[str, torch.Tensor]]:
    def read() -> Mapping[str, torch.Tensor]:
        from nodes.sd.formats.bad_file import BadFileError
        from nodes.sd.formats.picture import read_picture
        from nodes.sd.formats.read import read_tensors, recognised

        try:
            hidden = read_picture(path) if recognised(path) == "picture" else None
            tensors = hidden or read_tensors(path)
            read = tensors.some(name for name in tensors if tensors.entries[name].floating)
        except BadFileError as error:
            raise NodeError(str(error), code=error.code) from None
        if not unchanged(files, path, digest):
            hint = "run again to use it as it is now"
            raise NodeError(f"{path} changed during the run", hint=hint, code="changed_file")
        return read

    return read


def found(files: Files, given: str = "") -> tuple[list[EmbeddingFile], list[str]]:
    """The embeddings in a folder, and what cannot be used, each with the reason.

    A file that cannot be read stays among them, so that whoever means it in a prompt is told why.

    Args:
        files: finds and digests them.
        given: a file, or a folder; empty for all of the folders of embeddings.

    Raises:
        NodeError: there is nothing of that name, or it is a file that cannot be used.
    """
    from nodes.sd.formats.scan import scan

    seen: list[tuple[EmbeddingFile, Path]] = []
    problems: list[str] = []
    if given:
        given = named(files, KIND, given) or given
        place = files.find(KIND, given)
        if not place.is_dir():
            file = EmbeddingFile(given, 0, "", files.digest(place))
            its = facts(files, [(place, file.digest)])[file.digest]
            if its.message or its.kind != "embedding":
                what = its.message or f"is a {its.kind.replace('_', ' ')}, not an embedding"
                raise NodeError(f"{place} {what}", input="files", code=its.code or "not_an_embedding")
            return [file], []
        folders: Sequence[Path] = [place]
    else:
        folders = list(files.folders(KIND))
    for root, folder in enumerate(folders):
        for item in scan(folder, pictures=True):
            if item.problem is not None or item.model_folder:
                problems.append(f"{item.name} {item.problem[1] if item.problem else 'is a model'}")
                continue
            try:
                digest = files.digest(item.path)
            except NodeError as error:
                problems.append(str(error))
                continue
            seen.append((EmbeddingFile(given, root, item.name, digest), item.path))
    known = facts(files, [(path, file.digest) for file, path in seen])
    kept = []
    for file, _ in seen:
        its = known[file.digest]
        if its.kind not in _OTHER_KINDS:
            kept.append(file)
            if its.message:
                problems.append(f"{file.name} {its.message}")
    return kept, problems


def meant(files: Files, chosen: Sequence[EmbeddingFile], text: str) -> list[EmbeddingFile]:
    """Those of some embeddings that a text means, and those that claim the same words.

    Args:
        files: knows what is in them.
        chosen: the embeddings at hand.
        text: prompts as they were typed, in any dialect: signs that one of them takes for itself are looked
            past, so rather too many are found than too few.
    """
    from nodes.sd.prompts.triggers import find

    catalogue = Embeddings(tuple(chosen)).catalogue(files, {})
    numbers: set[int] = set()
    for spelt in (text, text.replace("\\", "")):  # in a prompt, brackets of a name are escaped
        for trigger in find(spelt, catalogue):
            numbers |= catalogue.meant(trigger.trigger, spelt[trigger.start : trigger.end])
    return [chosen[number] for number in sorted(numbers)]
