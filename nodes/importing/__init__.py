"""Graphs out of what other programs wrote; which of their parts have a counterpart here, README.md lists."""

from __future__ import annotations

from typing import Any

from engine import foreign as foreigners
from engine.errors import GraphError
from engine.files import Files
from engine.foreign import Foreign, Imported
from nodes.importing import a1111, comfy, invokeai, novelai

__all__ = ["import_graph"]

READERS = (comfy.read, invokeai.read, novelai.read, a1111.read)


def import_graph(foreign: Foreign, files: Files) -> Imported | None:
    """The graph of a picture, text or workflow of another program; None if it is of none that is known.

    Where a picture carries several of them, the one that says most is taken.

    Raises:
        GraphError: it is of a known kind and cannot be read.
    """
    tree = _tree(foreign.text)
    for read in READERS:
        if (imported := read(foreign, tree, files)) is not None:
            return imported
    return None


def _tree(text: str | None) -> Any:
    """The JSON that a file is; None if it is none, and of what is damaged others speak with its place."""
    if text is None or text.lstrip()[:1] != "{":
        return None
    try:
        return foreigners.parse(text)
    except GraphError:
        return None
