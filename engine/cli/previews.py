"""`--previews DIR`: keeps the newest preview picture of each node as a file."""

from __future__ import annotations

from mimetypes import guess_extension
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from engine import whole_file
from engine.cli import say
from engine.events import Preview

if TYPE_CHECKING:
    from engine.events import Event

PreviewFolder = Annotated[
    Path | None,
    typer.Option(
        "--previews",
        metavar="DIR",
        help="Write the newest preview of each node into this folder, such as NODE.jpg.",
    ),
]


class Previews:
    """A listener that writes previews to a folder. If a write fails, it warns once and stops writing.

    Args:
        folder: the folder, which is created with the first preview.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._failed = False

    def __call__(self, event: Event) -> None:
        """Write the picture of a preview event, replacing the node's previous one."""
        if self._failed or not isinstance(event, Preview):
            return
        suffix = guess_extension(event.picture.media) or ".bin"
        path = self._folder / f"{quote(event.node, safe='[]')}{suffix}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            whole_file.replace(path, event.picture.data)
        except OSError as error:
            self._failed = True
            say.warn(f"no more previews are written to {self._folder}: {error.strerror or error}")
