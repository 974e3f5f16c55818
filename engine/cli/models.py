"""`safelight models`: the files of models in the home and the further folders, and what is wrong with any."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import request, say
from engine.cli.request import AsJson, Home
from engine.errors import GraphError, NodeError, Problem

if TYPE_CHECKING:
    from engine.model_files import ModelFile

_TRIGGERS = 3


def models(
    kind: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="embedding, lora, checkpoint, vae or hypernetwork; all without."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Say which embeddings are of another width than this model reads."),
    ] = None,
    home: Home = None,
    json: AsJson = False,
) -> int:
    """List the files of models, with their triggers, and what is wrong with any of them."""
    from engine.model_files import offered

    with request.session(home) as session:
        # Facts of files are kept in the store; in a home that was never used there is none to keep them in.
        with suppress(OSError):
            session.settings.store_folder.mkdir(parents=True, exist_ok=True)
        try:
            rows = [row for pack in offered() for row in pack.listed(session.files, kind, model)]
        except NodeError as error:
            raise GraphError([Problem(error.code, error.message, hint=error.hint)]) from None
    if json:
        say.as_json({"models": [row.as_json() for row in rows]})
    else:
        _list(rows, session.settings.home)
    return 0


def _list(rows: list[ModelFile], home: Path) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        say.out(f"there are no models in {home / 'models'} and the further folders of the settings")
        return
    table = Table("file", "kind", "for", "in prompts", "size", "problem", box=None, pad_edge=False)
    for row in rows:
        shown = ", ".join(row.triggers[:_TRIGGERS]) + (" …" if len(row.triggers) > _TRIGGERS else "")
        size = f"{row.vectors} of {row.width}" if row.vectors else _bytes(row.bytes)
        cells = (row.kind, row.base or "", shown, size, row.problem["message"] if row.problem else "")
        table.add_row(Text(say.line(row.file), style="cyan"), *(Text(say.line(cell)) for cell in cells))
    Console().print(table)


def _bytes(count: int | None) -> str:
    if count is None:
        return ""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count //= 1000
    return f"{count:,} GB"
