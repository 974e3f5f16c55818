"""`safelight models`: lists model files, with their trigger words and problems."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import request, say
from engine.cli.request import AsJson, Home
from engine.errors import GraphError, NodeError, Problem

if TYPE_CHECKING:
    from engine.packs.model_files import ModelFile

_TRIGGERS = 3


def models(
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Only files of one kind, such as embedding, lora, checkpoint, unet or vae.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Mark the embeddings that do not fit this model."),
    ] = None,
    home: Home = None,
    json: AsJson = False,
) -> int:
    """List model files, with their triggers, tags, sizes and problems."""
    from engine.packs.model_files import listed

    with request.session(home) as session:
        session.create_folders()
        # Facts about files are kept in the store, which a new home does not have yet.
        with suppress(OSError):
            session.settings.store_folder.mkdir(parents=True, exist_ok=True)
        try:
            rows = listed(session.files, kind, model)
        except NodeError as error:
            raise GraphError([Problem(error.code, error.message, hint=error.hint)]) from None
    if json:
        say.as_json({"models": [row.as_json() for row in rows]})
    else:
        _list(rows, session.settings.home)
    return 0


def _list(rows: list[ModelFile], home: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    from engine.cli.tables import show

    if not rows:
        say.out(f"there are no model files in {home / 'models'} and the folders that the settings name")
        return
    table = Table("file", "kind", "for", "in prompts", "size", "vectors", "problem", box=None, pad_edge=False)
    table.columns[0].overflow = "fold"  # a name is never cut, since graphs and prompts need the full name
    for row in rows:
        triggers = (*((row.tag,) if row.tag else ()), *row.triggers)
        shown = ", ".join(triggers[:_TRIGGERS]) + (" …" if len(triggers) > _TRIGGERS else "")
        size = "" if row.bytes is None else say.size(row.bytes)
        vectors = f"{row.vectors} of {row.width}" if row.vectors else ""
        problem = row.problem["message"] if row.problem else ""
        cells = (row.kind, row.base or "", shown, size, vectors, problem)
        table.add_row(Text(say.line(row.file), style="cyan"), *(Text(say.line(cell)) for cell in cells))
    show(table)
