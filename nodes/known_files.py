"""What is known of the files that graphs name, looked into once and remembered by their digests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import NodeError
from engine.files import Files

if TYPE_CHECKING:
    from nodes.sd.formats.facts import Facts

_KNOWN: dict[str, Facts] = {}
"""By digest: what this process has looked into. Facts are small, and follow from the digest alone."""


def facts(files: Files, wanted: Iterable[tuple[Path, str]]) -> dict[str, Facts]:
    """The facts of files by digest; each file is looked into once, by whichever process comes first.

    Args:
        files: says whether a file changed while it was looked into, and where facts are kept.
        wanted: paths and their digests.
    """
    from nodes.sd.formats.facts import Facts, facts_of
    from nodes.sd.formats.memory import Memory

    paths = {digest: path for path, digest in wanted}
    memory = Memory(_memory(files))
    unknown = [digest for digest in paths if digest not in _KNOWN]
    if unknown:
        _KNOWN.update(memory.recall(unknown))
    new = [digest for digest in unknown if digest not in _KNOWN]
    looked = dict(zip(new, facts_of([paths[digest] for digest in new]), strict=True))
    changed = {digest for digest in looked if not unchanged(files, paths[digest], digest)}
    fresh = {digest: item for digest, item in looked.items() if digest not in changed}
    _KNOWN.update(fresh)
    memory.remember(fresh)
    missed = Facts("unknown", code="changed_file", message="changed while it was read; run again")
    return {digest: missed if digest in changed else _KNOWN[digest] for digest in paths}


def unchanged(files: Files, path: Path, digest: str) -> bool:
    """Whether a file still is what its digest says."""
    try:
        return files.digest(path) == digest
    except NodeError:
        return False


def _memory(files: Files) -> Path | None:
    """Where facts are kept: in the store of the home, whose own folders come first of each kind."""
    folder = next(iter(files.folders("embeddings")), None)
    return None if folder is None else Path(folder).parent.parent / "store" / "facts.sqlite"
