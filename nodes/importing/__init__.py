"""Graphs out of what other programs wrote; which of their parts have a counterpart here, README.md lists."""

from __future__ import annotations

from engine.files import Files
from engine.foreign import Foreign, Imported
from nodes.importing import a1111

__all__ = ["import_graph"]


def import_graph(foreign: Foreign, files: Files) -> Imported | None:
    """The graph of a picture, text or workflow of another program; None if it is of none that is known.

    Where a picture carries several of them, the one that says most is taken.

    Raises:
        GraphError: it is of a known kind and cannot be read.
    """
    for read in (a1111.read,):
        if (imported := read(foreign, files)) is not None:
            return imported
    return None
