"""Finds what foreign files name (models, LoRAs, pictures) among the user's own, by digest and by name.

A name from a stranger's file is never a path: it is compared with the names of what lies in the user's
folders, and only a name from there goes into a graph.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TypeVar

from engine.errors import NodeError
from engine.files import Files
from nodes import checkpoints, embedding_files, image, lora
from nodes.importing.notes import Notes, told
from nodes.sd.formats.scan import MODEL_SUFFIXES, Seen, scan
from nodes.sd.hypernetwork_patch import KIND as HYPERNETWORKS
from nodes.sd.lora.patch import KIND as LORAS

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds for hashes of models that are called otherwise."""
MOST_LORAS = 30
"""Names of LoRAs that are looked up by more than their file's name."""
_SHORTEST = 8
_HASH = re.compile(rf"[0-9a-fA-F]{{{_SHORTEST},64}}")
_OLD_HASH = 8
"""Digits of the hash that A1111 used before 2023: of 64 KiB in the middle of the file."""
_PIECE = 4 << 20


class Shelf:
    """The user's files, for one import.

    Hashes that are not remembered yet take reading whole files; of models that are not called as they should
    be, no more is read than `PATIENCE` allows.

    Args:
        files: the folders and digests.
        notes: is told what is missing.
    """

    def __init__(self, files: Files, notes: Notes) -> None:
        self._files, self._notes = files, notes
        self._stems: dict[str, dict[str, list[Seen]]] = {}
        self._loras: dict[tuple[str, str | None], str | None] = {}
        self._embeddings: dict[str, list[tuple[str, Seen]]] | None = None
        self._hashes: dict[tuple[str, Path], str] = {}
        self._spent = 0.0

    def model(self, name: str, hash: str | None = None) -> str | None:
        """The name of a checkpoint that has this hash, or else this name; None, noted, if there is none.

        Args:
            name: as another tool calls it: with or without folder and suffix; may be empty.
            hash: the first digits of the sha256 of its file, or A1111's older kind of 8 digits.
        """
        wanted = " ".join(filter(None, (told(name), f"[{told(hash)}]" if hash else "")))
        by_name = [item.name for item in self._named(checkpoints.KIND, name)]
        if _stem(name) == checkpoints.EMBEDDED:
            by_name.append(checkpoints.EMBEDDED)
        if hash and _HASH.fullmatch(hash):
            seen = {item.name: item for item in self._seen(checkpoints.KIND)}
            for inner in by_name:
                if self._has(inner, seen.get(inner), hash.lower()):
                    return inner
            for inner in self._while_patient([inner for inner in seen if inner not in by_name]):
                if self._has(inner, seen[inner], hash.lower()):
                    return inner
        if by_name:
            if hash:
                message = f"the model {wanted} is taken by its name: no file has its hash"
                self._notes.say("other_model", message)
            return by_name[0]
        if wanted:
            message = f"it was made with the model {wanted}, which is not among yours"
            hint = f"put it into {self._folder(checkpoints.KIND)}, or choose another with --model"
        else:
            message, hint = "it does not say with which model it was made", "choose one with --model"
        self._notes.say("missing_model", message, hint)
        return None

    def lora(self, name: str, hash: str | None = None) -> str | None:
        """The name of a LoRA's file; None, noted, if there is none."""
        if (name, hash) not in self._loras:
            self._loras[name, hash] = self._lora(name, hash)
        return self._loras[name, hash]

    def _lora(self, name: str, hash: str | None) -> str | None:
        plain = _inner(name)
        named = [item.name for item in self._named(LORAS, name)]
        exact = [inner for inner in named if plain in (inner, str(PurePosixPath(inner).with_suffix("")))]
        if exact or len(named) == 1:
            return (exact or named)[0]
        few = len(self._loras) < MOST_LORAS
        try:
            located = lora.located(self._files, plain) if plain and few else ""
        except NodeError as error:
            self._notes.say("missing_lora", f"the LoRA {told(name)} is left off: {error}", error.hint)
            return None
        if located and self._files.inside(LORAS, located) is not None:
            return located
        if hash and _HASH.fullmatch(hash) and few:
            seen = [item for item in self._seen(LORAS) if not item.model_folder]
            for hashed in (_said_hash, self._digest, _tensors_hash):
                for item in self._while_patient(seen):
                    if self._kept(hashed, item.path).startswith(hash.lower()):
                        return item.name
        self._notes.say(
            "missing_lora",
            f"the LoRA {told(name)} is left off: it is not among yours",
            f"put it into {self._folder(LORAS)} and import again",
        )
        return None

    def hypernetwork(self, name: str) -> str | None:
        """The name of a hypernetwork's file; None, noted, if there is none."""
        for item in self._named(HYPERNETWORKS, name):
            return item.name
        hint = f"put it into {self._folder(HYPERNETWORKS)} and import again"
        message = f"the hypernetwork {told(name)} is left off: it is not there"
        self._notes.say("missing_hypernetwork", message, hint)
        return None

    def embeddings(self, prompts: str, hashes: dict[str, str]) -> bool:
        """Whether prompts need the user's embeddings; those that are missing are noted.

        Args:
            prompts: the texts, as they are.
            hashes: the embeddings that are named for certain, with the first digits of their sha256.
        """
        stems = self._by_stem(embedding_files.KIND)
        for name, hash in hashes.items():
            if name.casefold() in stems:
                continue
            known = self._embedding_hashes().get(hash[:_SHORTEST], []) if _HASH.fullmatch(hash) else []
            same = next((item for digest, item in known if digest.startswith(hash)), None)
            where = self._folder(embedding_files.KIND)
            hint = f"write {same.name} in the prompt" if same else f"put it into {where}"
            message = f"the embedding {told(name)} is not among yours" + (" by this name" if same else "")
            self._notes.say("missing_embedding", message, hint)
        folded = prompts.casefold()
        return bool(hashes) or "embedding:" in folded or any(stem and stem in folded for stem in stems)

    def picture(self, name: str) -> str | None:
        """The name of a picture in the folder of inputs; None, noted, if there is none."""
        plain = _inner(name)
        if plain and self._files.inside(image.KIND, plain) is not None:
            return plain
        self._notes.say(
            "missing_picture",
            f"it begins with the picture {told(name) or 'of no name'}, which is not among yours",
            "name one with --image",
        )
        return None

    def _embedding_hashes(self) -> dict[str, list[tuple[str, Seen]]]:
        """The embeddings by the first digits of their digests."""
        if self._embeddings is None:
            self._embeddings = defaultdict(list)
            for item in self._seen(embedding_files.KIND):
                digest = self._digest(item.path)
                self._embeddings[digest[:_SHORTEST]].append((digest, item))
        return self._embeddings

    def _kept(self, hashed: Callable[[Path], str], path: Path) -> str:
        """A hash of a file, made once."""
        key = hashed.__name__, path
        if key not in self._hashes:
            self._hashes[key] = hashed(path)
        return self._hashes[key]

    def _named(self, kind: str, name: str) -> list[Seen]:
        """The files of a kind that go by a name, with or without folder and suffix."""
        return self._by_stem(kind).get(_stem(name).casefold(), []) if name.strip() else []

    def _seen(self, kind: str) -> list[Seen]:
        return [item for items in self._by_stem(kind).values() for item in items]

    def _by_stem(self, kind: str) -> dict[str, list[Seen]]:
        if kind not in self._stems:
            found: dict[str, list[Seen]] = defaultdict(list)
            for folder in self._files.folders(kind):
                for item in scan(Path(folder), pictures=kind == embedding_files.KIND):
                    if item.problem is None:
                        found[_stem(item.name).casefold()].append(item)
            self._stems[kind] = dict(found)
        return self._stems[kind]

    def _while_patient(self, ahead: Iterable[T]) -> Iterator[T]:
        """One after another, as long as what is done with each has not taken too long in all."""
        for item in ahead:
            if self._spent > PATIENCE:
                self._notes.say(
                    "not_all_read",
                    "not all of your models were compared by their hash: reading them takes long",
                    "safelight models reads all of them once; then import again",
                )
                return
            begun = time.monotonic()
            yield item
            self._spent += time.monotonic() - begun

    def _folder(self, kind: str) -> str:
        return str(next(iter(self._files.folders(kind)), f"models/{kind}"))

    def _has(self, name: str, item: Seen | None, hash: str) -> bool:
        if item is None or item.model_folder:
            try:
                return checkpoints.checkpoint(self._files, name).digest.startswith(hash)
            except NodeError:
                return False
        if len(hash) == _OLD_HASH and _middle_hash(item.path) == hash:
            return True
        return self._digest(item.path).startswith(hash)

    def _digest(self, path: Path) -> str:
        try:
            return self._files.digest(path)
        except NodeError:
            return ""


def _inner(name: str) -> str:
    """A name as a way inside of a folder; its last part if it is none; empty if nothing is left."""
    inner = PurePosixPath(name.replace("\\", "/").strip())
    leads_out = inner.is_absolute() or ".." in inner.parts or ":" in name or name.startswith("~")
    plain = inner.name if leads_out else str(inner)
    return "" if "\0" in plain or ":" in plain or plain in ("", ".", "..") or len(plain) > 500 else plain


def bare(name: str) -> str:
    """The last part of a name that another tool gave; no path, wherever it is looked up."""
    return PurePosixPath(_inner(name)).name


def _stem(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/").strip())
    known = path.suffix.lower() in (*MODEL_SUFFIXES, ".png", ".webp")
    return path.stem if known else path.name


def _middle_hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(1 << 20)
            return hashlib.sha256(file.read(1 << 16)).hexdigest()[:_OLD_HASH]
    except OSError:
        return ""


def _said_hash(path: Path) -> str:
    """The hash of a LoRA's tensors that its header says (kohya)."""
    from nodes.sd.formats.bad_file import BadFileError
    from nodes.sd.formats.read import read_tensors

    try:
        return read_tensors(path).metadata.get("sshs_model_hash", "").lower()
    except BadFileError:
        return ""


def _tensors_hash(path: Path) -> str:
    """The sha256 of all that follows a safetensors header: it stays when the metadata is edited."""
    hasher = hashlib.sha256()
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if path.suffix != ".safetensors" or length > path.stat().st_size:
                return ""
            file.seek(8 + length)
            while piece := file.read(_PIECE):
                hasher.update(piece)
    except OSError:
        return ""
    return hasher.hexdigest()
