"""The embeddings of a text encoder as a recipe: files named by digest, and vectors made in the graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Self, cast

from engine.errors import NodeError
from engine.files import Files
from engine.values import Json, Part
from nodes.files.file_kinds import NOUNS, require_kind
from nodes.files.file_names import resolve
from nodes.files.known_files import facts
from nodes.files.located import located
from nodes.sd.embeddings.embedding import Embedding

if TYPE_CHECKING:
    import torch

    from nodes.sd.embeddings.catalogue import Catalogue, Source
    from nodes.sd.inspection.facts import Facts

KIND = "embeddings"


@dataclass(frozen=True)
class EmbeddingFile:
    """An embedding file: where it was found, and the digest of its content."""

    given: str
    """The file or folder that the node's input names; empty for all embedding folders."""
    root: int
    """The index of the embedding folder, if `given` is empty."""
    name: str
    """The path inside that folder, with `/`; empty if `given` is the file itself."""
    digest: str

    def path(self, files: Files) -> Path:
        """Find the file by its digest, even if it was moved; see `located`.

        Raises:
            NodeError: the file is missing or has changed.
        """
        name = "/".join(part for part in (self.given, self.name) if part)
        folders = [] if self.given else list(files.folders(KIND))
        first = Path(folders[self.root]) / self.name if self.root < len(folders) else None
        return located(files, KIND, name, self.digest, first)

    @property
    def label(self) -> str:
        """The file's name in messages and triggers: its path inside the embedding folder, or its name."""
        given = PurePosixPath(self.given.replace("\\", "/"))
        if given.is_absolute() or given.parts[:1] in (("..",), ("~",)):
            return self.name or given.name
        return str(given / self.name)


@dataclass(frozen=True)
class Embeddings:
    """The embeddings of a text encoder, as names and digests, without the vectors of files."""

    files: tuple[EmbeddingFile, ...] = ()
    made: tuple[Embedding, ...] = ()
    """Embeddings made in the same graph; they take precedence over files of the same name."""

    def __bool__(self) -> bool:
        return bool(self.files or self.made)

    def __add__(self, other: Embeddings) -> Embeddings:
        files = dict.fromkeys((*self.files, *other.files))
        return Embeddings(tuple(files), (*self.made, *other.made))

    def packed(self) -> tuple[Json, tuple[Part, ...]]:
        """Convert the embeddings to JSON and binary parts, one for each embedding made in the graph."""
        made = [embedding.pack() for embedding in self.made]
        meta = {"files": [asdict(file) for file in self.files], "made": [packed.meta for packed in made]}
        parts = (
            Part(f"embedding{n}", packed.parts[0].media, packed.parts[0].data)
            for n, packed in enumerate(made)
        )
        return cast(Json, meta), tuple(parts)

    @classmethod
    def unpacked(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """Restore the embeddings from what `packed` returned."""
        plain = cast("dict[str, Any]", meta)
        made = (
            Embedding.unpack(item, {"tensors": parts[f"embedding{n}"]})
            for n, item in enumerate(plain["made"])
        )
        return cls(tuple(EmbeddingFile(**file) for file in plain["files"]), tuple(made))

    def catalogue(
        self, files: Files, widths: Mapping[str, int], model: tuple[str, str] | None = None
    ) -> Catalogue:
        """Make the catalogue of these embeddings for one model, which finds them by trigger words.

        Args:
            files: finds files and computes digests.
            widths: the width of the vectors for each text encoder of the model, such as {"clip_l": 768}.
            model: the model's name and digest.

        Raises:
            NodeError: a file is missing or has changed since the run was planned.
        """
        from nodes.sd.embeddings.catalogue import Catalogue, Source

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
    """Convert an embedding made in the graph to a source of a catalogue."""
    from nodes.sd.embeddings.catalogue import Source
    from nodes.sd.formats.embedding import Term, Vectors
    from nodes.sd.inspection.facts import Facts

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

        with files.unchanged():
            if files.digest(path) != digest:
                hint = "run again to use the new content"
                raise NodeError(f"{path} changed during the run", hint=hint, code="changed_file")
            try:
                hidden = read_picture(path) if recognised(path) == "picture" else None
                tensors = read_tensors(path) if hidden is None else hidden
                return tensors.some(name for name in tensors if tensors.entries[name].floating)
            except BadFileError as error:
                raise NodeError(str(error), code=error.code) from None

    return read


def find_embedding(files: Files, name: str, *, input: str) -> tuple[Path, str]:
    """Find one embedding file by its name; returns its path and its digest.

    Raises:
        NodeError: there is no such file, several have this name, or it is not a usable embedding.
    """
    try:
        path = files.find(KIND, resolve(files, KIND, name) or name)
    except NodeError as error:
        raise error.at(input) from None
    return path, require_kind(files, path, "embedding", input=input)


def find_embeddings(files: Files, given: str = "") -> tuple[list[EmbeddingFile], list[str]]:
    """Find the embedding files in a folder; also returns one message for each file that cannot be used.

    Damaged files are part of the result, so that a prompt that names one gets a warning with the reason.

    Args:
        files: finds files and computes digests.
        given: a file or a folder; empty for all embedding folders.

    Raises:
        NodeError: there is no such file or folder, or the given file cannot be used.
    """
    found, problems = _found(files, given)
    for file, its in found:
        if its.kind not in ("embedding", "unknown", "picture"):
            problems.append(f"{file.name} is {NOUNS[its.kind]}, not an embedding")
        elif its.message:
            problems.append(f"{file.name} {its.message}")
    return [file for file, its in found if its.kind != "picture"], problems


def describe_files(files: Files, given: str = "") -> list[dict[str, Any]]:
    """Describe the embedding files in a folder; see DescribeEmbeddings for the fields.

    Raises:
        NodeError: there is no such file or folder, or the given file cannot be used.
    """
    from nodes.sd.embeddings.catalogue import Catalogue, Source

    found = [(file, its) for file, its in _found(files, given)[0] if its.kind in ("embedding", "unknown")]
    folders = [Path(folder).name for folder in files.folders(KIND)]
    sources = [
        Source(file.label, its, dict, file.digest, folders[file.root] if file.root and not given else "")
        for file, its in found
    ]
    catalogue = Catalogue(sources, {})
    triggers = catalogue.triggers_by_source()
    return [
        {
            "file": file.label,
            "sha256": file.digest,
            "format": its.format or None,
            "names": triggers.get(number, []),
            "vectors": sum(term.count for term in its.terms),
            "widths": {
                encoder: vectors.width for term in its.terms for encoder, vectors in term.vectors.items()
            },
            "base": its.base,
            "base_model": its.base_name,
            "base_hash": its.base_hash,
            "step": its.step,
            "problem": {"code": its.code, "message": its.message} if its.code else None,
        }
        for number, (file, its) in enumerate(found)
    ]


def _found(files: Files, given: str) -> tuple[list[tuple[EmbeddingFile, Facts]], list[str]]:
    """Find embedding files and their facts; also returns one message for each file that cannot be opened."""
    from nodes.sd.formats.scan import scan

    problems: list[str] = []
    if given:
        name = resolve(files, KIND, given) or given
        place = files.find(KIND, name)
        if not place.is_dir():
            file = EmbeddingFile(name, 0, "", require_kind(files, place, "embedding", input="files"))
            return [(file, facts(files, [(place, file.digest)])[file.digest])], []
        given = name
        folders: Sequence[Path] = [place]
    else:
        folders = list(files.folders(KIND))
    seen: list[tuple[EmbeddingFile, Path]] = []
    for root, folder in enumerate(folders):
        for item in scan(folder, pictures=True):
            if item.problem is not None or item.model_folder:
                problems.append(
                    f"{item.name} {item.problem[1] if item.problem else 'is a checkpoint folder'}"
                )
                continue
            try:
                digest = files.digest(item.path)
            except NodeError as error:
                problems.append(str(error))
                continue
            seen.append((EmbeddingFile(given, root, item.name, digest), item.path))
    known = facts(files, [(path, file.digest) for file, path in seen])
    return [(file, known[file.digest]) for file, _ in seen], problems


def named_in_prompt(text: str, files: Files, chosen: Sequence[EmbeddingFile]) -> list[EmbeddingFile]:
    """Find the embeddings that a prompt names.

    The result includes all embeddings with the same trigger, for the warning about the clash, and those whose
    trigger is similar to an unknown `<name>` or `embedding:name`, for suggestions.

    Args:
        text: prompts as typed, in any dialect. Their syntax is not parsed, so the result may have too many
            embeddings, but never too few.
        files: finds files and computes digests.
        chosen: the embeddings to choose from.
    """
    from nodes.sd.prompts.triggers import find, near_triggers, unknown

    catalogue = Embeddings(tuple(chosen)).catalogue(files, {})
    numbers: set[int] = set()
    for spelling in (text, text.replace("\\", "")):  # a prompt may escape brackets in a name
        found = list(find(spelling, catalogue))
        for trigger in found:
            numbers |= catalogue.sources_of(trigger.trigger, spelling[trigger.start : trigger.end])
        for _, written in unknown(spelling, found):
            for near in near_triggers(written, catalogue):
                numbers |= catalogue.sources_named(near)
    return [chosen[number] for number in sorted(numbers)]
