"""Finds the models, LoRAs, embeddings and pictures that another tool's file names among the user's files.

A name in such a file is never used as a path. It is compared with the names of files in the user's folders,
and only names from these folders are written into a graph.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TypeVar

from engine.errors import NodeError
from engine.files import UPLOADED, Files
from nodes.files import checkpoints, embedding_files, picture_files
from nodes.files.file_hashes import OLD_MODEL_HASH_LENGTH, metadata_hash, old_model_hash, tensors_hash
from nodes.files.file_names import stem
from nodes.files.lora_files import resolve_lora
from nodes.files.patch_files import HYPERNETWORKS, LORAS
from nodes.files.upscaler_files import UPSCALERS
from nodes.interchange.import_problems import ImportProblems, one_line
from nodes.sd.formats.scan import Seen, scan

T = TypeVar("T")

HASHING_SECONDS = 20.0
"""The seconds that one import may spend hashing files whose names do not match."""
MAX_SEARCHED_LORAS = 30
"""The number of LoRAs of one import for which metadata and hashes are compared, not only file names."""
_SHORTEST_HASH = 8
_HASH = re.compile(rf"[0-9a-fA-F]{{{_SHORTEST_HASH},64}}")
_MAX_NAME = 500


class LocalFiles:
    """Searches the user's files by name and by hash during one import.

    To compute a hash that is not cached, the whole file is read. Files whose names do not match are hashed
    for at most `HASHING_SECONDS` in total.

    Args:
        files: the user's folders, and the digests of their files.
        problems: receives a warning for every file that is missing.
    """

    def __init__(self, files: Files, problems: ImportProblems) -> None:
        self._files, self._problems = files, problems
        self._stems: dict[str, dict[str, list[Seen]]] = {}
        self._loras: dict[tuple[str, str | None], str | None] = {}
        self._embeddings: dict[str, list[tuple[str, Seen]]] | None = None
        self._hashes: dict[tuple[str, Path], str] = {}
        self._seconds_spent = 0.0

    def model(self, name: str, hash: str | None = None) -> str | None:
        """Find a checkpoint by hash or name; returns its name, or None with a warning if it is missing.

        Args:
            name: the other tool's name, with or without folder and suffix; may be empty.
            hash: the first digits of the file's sha256, or A1111's older hash of 8 digits.
        """
        wanted = " ".join(filter(None, (one_line(name), f"[{one_line(hash)}]" if hash else "")))
        same_name = [item.name for item in self._named(checkpoints.KIND, name)]
        if stem(name) == checkpoints.EMBEDDED:
            same_name.append(checkpoints.EMBEDDED)
        if hash and _HASH.fullmatch(hash):
            known = {item.name: item for item in self._all(checkpoints.KIND)}
            for candidate in same_name:
                if self._has_hash(candidate, known.get(candidate), hash.lower()):
                    return candidate
            for candidate in self._within_time([other for other in known if other not in same_name]):
                if self._has_hash(candidate, known[candidate], hash.lower()):
                    return candidate
        if same_name:
            if hash:
                message = f"no model file has the hash of {wanted}; the model of the same name is used"
                self._problems.warn("other_model", message)
            return same_name[0]
        if wanted:
            message = f"the picture was made with the model {wanted}, which is not in your model folders"
            hint = f"put it into {self._folder(checkpoints.KIND)}, or choose another with --model"
        else:
            message, hint = "the file does not name a model", "choose one with --model"
        self._problems.warn("missing_model", message, hint)
        return None

    def lora(self, name: str, hash: str | None = None) -> str | None:
        """Find a LoRA; returns the name of its file, or None with a warning if it is missing."""
        if (name, hash) not in self._loras:
            self._loras[name, hash] = self._find_lora(name, hash)
        return self._loras[name, hash]

    def _find_lora(self, name: str, hash: str | None) -> str | None:
        inner = _inner_path(name)
        same_name = [item.name for item in self._named(LORAS, name)]
        exact = [file for file in same_name if inner in (file, str(PurePosixPath(file).with_suffix("")))]
        if exact or len(same_name) == 1:
            return (exact or same_name)[0]
        search = len(self._loras) < MAX_SEARCHED_LORAS
        try:
            located = resolve_lora(self._files, inner) if inner and search else ""
        except NodeError as error:
            self._problems.warn(
                "missing_lora",
                f"{error}, so the imported graph has the LoRA {one_line(name)} switched off",
                error.hint,
            )
            return None
        if located and self._files.inside(LORAS, located) is not None:
            return located
        if hash and _HASH.fullmatch(hash) and search:
            candidates = [item for item in self._all(LORAS) if not item.model_folder]
            for hashed in (metadata_hash, self._digest, tensors_hash):
                for item in self._within_time(candidates):
                    if self._remembered(hashed, item.path).startswith(hash.lower()):
                        return item.name
        self._problems.warn(
            "missing_lora",
            f"the LoRA {one_line(name)} was not found in your model folders, so the imported graph has it"
            " switched off",
            f"put it into {self._folder(LORAS)} and import again",
        )
        return None

    def hypernetwork(self, name: str) -> str | None:
        """Find a hypernetwork; returns the name of its file, or None with a warning if it is missing."""
        for item in self._named(HYPERNETWORKS, name):
            return item.name
        self._problems.warn(
            "missing_hypernetwork",
            f"the hypernetwork {one_line(name)} was not found in your model folders, so the imported graph"
            " has it switched off",
            f"put it into {self._folder(HYPERNETWORKS)} and import again",
        )
        return None

    def upscaler(self, name: str, instead: str = "") -> str | None:
        """Find an upscale model; returns the name of its file, or None with a warning if it is missing.

        Args:
            name: the name of the model in the other tool.
            instead: the name of the replacement that the graph uses, for the warning; empty for none.
        """
        for item in self._named(UPSCALERS, name):
            return item.name
        self._problems.warn(
            "missing_upscaler",
            f"the upscale model {one_line(name)} was not found in your model folders"
            + (f"; {instead} is used instead" if instead else ""),
            f"put it into {self._folder(UPSCALERS)} and import again",
        )
        return None

    def network(self, kind: str, name: str) -> str | None:
        """Find the file of one network, such as a VAE; returns its name, or None with a warning.

        Args:
            kind: the folder in `models`: `unet`, `text_encoders`, `vae` or `controlnet`.
            name: the other tool's name.
        """
        for item in self._named(kind, name):
            return item.name
        self._problems.warn(
            "missing_network",
            f"the model file {one_line(name)} was not found in your model folders",
            f"put it into {self._folder(kind)}",
        )
        return None

    def embeddings(self, prompts: str, hashes: dict[str, str]) -> bool:
        """Return whether the prompts may name embeddings; warns about each missing embedding.

        Args:
            prompts: the prompts as typed.
            hashes: embeddings that the file names explicitly, with the first digits of their sha256.
        """
        stems = self._by_stem(embedding_files.KIND)
        for name, hash in hashes.items():
            if name.casefold() in stems:
                continue
            known = self._embedding_hashes().get(hash[:_SHORTEST_HASH], []) if _HASH.fullmatch(hash) else []
            same = next((item for digest, item in known if digest.startswith(hash)), None)
            if same is None:
                message = f"the embedding {one_line(name)} was not found in your model folders"
                hint = f"put it into {self._folder(embedding_files.KIND)}"
            else:
                message = f"the embedding {one_line(name)} has another name in your folders"
                hint = f"write {same.name} in the prompt"
            self._problems.warn("missing_embedding", message, hint)
        folded = prompts.casefold()
        return bool(hashes) or "embedding:" in folded or any(name and name in folded for name in stems)

    def embedding_name(self, written: str) -> str:
        """Return the name of an embedding from the text after `embedding:` in a prompt.

        ComfyUI accepts the name with or without its suffix. Only a suffix of model files is removed, so that
        a name such as `bad_v1.5` keeps its dot.
        """
        stems = self._by_stem(embedding_files.KIND)
        name = bare_name(written.rstrip(","))
        return name if name.casefold() in stems else stem(name)

    def is_for_inpainting(self, model: str) -> bool:
        """Return whether a model was trained for inpainting; False if the model cannot be used.

        Args:
            model: the name that the method `model` returned.
        """
        try:
            found = checkpoints.checkpoint(self._files, model)
        except NodeError:
            return False
        return found.unet_channels > found.latent_channels

    def picture(
        self, name: str, noun: str = "the picture to start from", option: str = "--image"
    ) -> str | None:
        """Find a picture in the inputs folder; returns its name, or None with a warning if it is missing.

        Args:
            name: the other tool's name for it; may be empty.
            noun: the noun for the picture in the warning.
            option: the command-line option that chooses another, for the warning.
        """
        is_upload = name.startswith(UPLOADED)
        inner = name if is_upload else _inner_path(name)
        if inner and self._files.inside(picture_files.KIND, inner) is not None:
            return inner
        message = f"{noun}, {one_line(name)}, was not found in your inputs folder"
        if not one_line(name):
            message = f"the file does not name {noun}"
        self._problems.warn("missing_picture", message, f"choose one with {option}")
        return None

    def _embedding_hashes(self) -> dict[str, list[tuple[str, Seen]]]:
        """Return the embeddings with their digests, keyed by the first digits of the digest."""
        if self._embeddings is None:
            self._embeddings = defaultdict(list)
            for item in self._all(embedding_files.KIND):
                digest = self._digest(item.path)
                self._embeddings[digest[:_SHORTEST_HASH]].append((digest, item))
        return self._embeddings

    def _remembered(self, hashed: Callable[[Path], str], path: Path) -> str:
        """Return the hash of a file; each is computed only once."""
        key = hashed.__name__, path
        if key not in self._hashes:
            self._hashes[key] = hashed(path)
        return self._hashes[key]

    def _named(self, kind: str, name: str) -> list[Seen]:
        """Find the files of a kind with a name, compared without folder, suffix and case."""
        return self._by_stem(kind).get(stem(name).casefold(), []) if name.strip() else []

    def _all(self, kind: str) -> list[Seen]:
        return [item for items in self._by_stem(kind).values() for item in items]

    def _by_stem(self, kind: str) -> dict[str, list[Seen]]:
        if kind not in self._stems:
            stems: dict[str, list[Seen]] = defaultdict(list)
            for folder in self._files.folders(kind):
                for item in scan(Path(folder), pictures=kind == embedding_files.KIND):
                    if item.problem is None:
                        stems[stem(item.name).casefold()].append(item)
            self._stems[kind] = dict(stems)
        return self._stems[kind]

    def _within_time(self, candidates: Iterable[T]) -> Iterator[T]:
        """Yield the candidates until the caller has spent `HASHING_SECONDS` on them."""
        for candidate in candidates:
            if self._seconds_spent > HASHING_SECONDS:
                self._problems.warn(
                    "not_all_read",
                    "hashing all model files takes too long, so some were not compared by hash",
                    "run `safelight models` once, which reads them all, then import again",
                )
                return
            started = time.monotonic()
            yield candidate
            self._seconds_spent += time.monotonic() - started

    def _folder(self, kind: str) -> str:
        return str(next(iter(self._files.folders(kind)), f"models/{kind}"))

    def _has_hash(self, name: str, item: Seen | None, hash: str) -> bool:
        if item is None or item.model_folder:
            try:
                return checkpoints.checkpoint(self._files, name).digest.startswith(hash)
            except NodeError:
                return False
        if len(hash) == OLD_MODEL_HASH_LENGTH and old_model_hash(item.path) == hash:
            return True
        return self._digest(item.path).startswith(hash)

    def _digest(self, path: Path) -> str:
        try:
            return self._files.digest(path)
        except NodeError:
            return ""


def bare_name(name: str) -> str:
    """Return the last part of another tool's file name, which is safe to show and to look up.

    Empty only if the name consists of separators.
    """
    return PurePosixPath(_inner_path(name)).name or _printable(name)


def _inner_path(name: str) -> str:
    """Convert a name to a path inside a folder; a path that leads outside is reduced to its last part.

    Empty if the name cannot be a file name on every system.
    """
    inner = PurePosixPath(name.replace("\\", "/").strip())
    leads_out = inner.is_absolute() or ".." in inner.parts or ":" in name or name.startswith("~")
    plain = inner.name if leads_out else str(inner)
    unusable = "\0" in plain or ":" in plain or plain in ("", ".", "..") or len(plain) > _MAX_NAME
    return "" if unusable else plain


def _printable(name: str) -> str:
    """Replace the characters in a name such as `ink: style` that file names cannot contain by `_`."""
    kept = "".join("_" if letter in '\\/:*?"<>|' or not letter.isprintable() else letter for letter in name)
    return one_line(kept.strip().strip("."))
