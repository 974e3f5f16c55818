"""`safelight import`: converts the picture or workflow of another program into a graph."""

from __future__ import annotations

from json import loads
from pathlib import Path
from typing import Annotated

import typer

from engine.cli import request, say
from engine.cli.request import AsJson, Home
from engine.errors import GraphError, Problem


def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A picture of A1111, ComfyUI or others, its text, or a workflow."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Write the graph to this file instead of printing it."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", metavar="", help="Replace an existing file.")
    ] = False,
    home: Home = None,
    json: AsJson = False,
) -> int:
    """Convert a picture or workflow of another program into a graph, and list what was left out."""
    from engine.document import writer

    with request.session(home) as session:
        imported = session.read(file)
    document = writer.dump(imported.graph)
    if out is not None:
        _write(out, document.encode(), overwrite)
    if json:
        answer: dict[str, object] = {"origin": imported.origin}
        answer |= {"graph": loads(document)} if out is None else {"file": str(out.absolute())}
        say.as_json({**answer, "problems": [problem.as_json() for problem in imported.problems]})
        return 0
    say.problems(imported.problems)
    if out is None:
        say.err(imported.summary)
        stdout = say.stdout()
        print(say.plain(document) if stdout.isatty() else document, end="", file=stdout)
    else:
        say.out(f"{say.path(out)}: {imported.summary}")
    return 0


def _write(out: Path, data: bytes, overwrite: bool) -> None:
    from engine import whole_file

    try:
        if overwrite:
            whole_file.replace(out, data)
        else:
            whole_file.put(data, [out])
    except FileExistsError:
        hint = "choose another name, or add --overwrite"
        raise GraphError([Problem("file_exists", f"{out} exists already", hint=hint)]) from None
    except OSError as error:
        message = f"{out} cannot be written: {error.strerror or error}"
        raise GraphError([Problem("unwritable", message)]) from None
