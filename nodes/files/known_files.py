"""Facts about model files: each file is inspected once, and the facts are cached by digest."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from engine.digests import Identity, identity_of
from engine.errors import NodeError
from engine.file_facts import FactKind
from engine.files import Files

if TYPE_CHECKING:
    from nodes.sd.inspection.facts import Facts

_KNOWN: dict[str, Facts] = {}
"""The facts known in this process, by digest. Facts are small and depend on the content only."""


def facts(files: Files, wanted: Iterable[tuple[Path, str]]) -> dict[str, Facts]:
    """Return the facts of files, keyed by digest; only files that no process has inspected before are opened.

    Args:
        files: computes digests, and stores facts for later processes.
        wanted: paths and their digests.
    """
    from nodes.sd.inspection.facts import VERSION, Facts, facts_of

    kind = FactKind("model file", VERSION)
    paths = {digest: path for path, digest in wanted}
    unknown = [digest for digest in paths if digest not in _KNOWN]
    for digest, text in files.facts.recall(kind, unknown).items():
        with suppress(ValueError, TypeError, KeyError):
            _KNOWN[digest] = Facts.from_json(text)
    new = [digest for digest in unknown if digest not in _KNOWN]
    before = {digest: _identity(files, paths[digest], digest) for digest in new}
    inspected = dict(zip(new, facts_of([paths[digest] for digest in new]), strict=True))
    changed = {
        digest
        for digest in new
        if before[digest] is None or _identity(files, paths[digest], digest) != before[digest]
    }
    fresh = {digest: item for digest, item in inspected.items() if digest not in changed}
    _KNOWN.update(fresh)
    files.facts.remember(kind, {digest: item.to_json() for digest, item in fresh.items()})
    missed = Facts("unknown", code="changed_file", message="changed while it was read; run again")
    return {digest: missed if digest in changed else _KNOWN[digest] for digest in paths}


def _identity(files: Files, path: Path, digest: str) -> Identity | None:
    """Return the identity of a file; None if the file is missing or no longer has this digest."""
    try:
        identity = identity_of(path)
        return identity if files.digest(path) == digest else None
    except (OSError, NodeError):
        return None
