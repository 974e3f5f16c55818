"""`safelight convert`: converts an embedding, a LoRA or a checkpoint into a safetensors file."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from engine.cli import say
from engine.cli.request import AsJson
from engine.errors import GraphError, NodeError, Problem

_SUFFIX = ".safetensors"


def convert(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .pt, .bin, .ckpt or other file, or a picture.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The new file, NAME.safetensors.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", metavar="", help="Replace an existing file.")
    ] = False,
    json: AsJson = False,
) -> int:
    """Convert a model file into safetensors; code inside a pickle is never run."""
    from engine.packs.model_files import converted

    if out.suffix.lower() != _SUFFIX:
        raise _refused("bad_use", f"{out} does not end with {_SUFFIX}", f"write NAME{_SUFFIX}")
    try:
        conversion = converted(file)
        _write(out, conversion.pieces, overwrite)
    except NodeError as error:
        raise _refused(error.code, error.message, error.hint) from None
    except FileExistsError:
        raise _refused(
            "file_exists", f"{out} exists already", "choose another name, or add --overwrite"
        ) from None
    except OSError as error:
        raise _refused("unwritable", f"{out} cannot be written: {error.strerror or error}", None) from None
    if json:
        answer = {"file": str(out), "kind": conversion.kind, "tensors": conversion.tensors}
        say.as_json({**answer, "left_out": conversion.left_out, "bytes": out.stat().st_size})
    else:
        left = f"; {conversion.left_out:,} left out that are not weights" if conversion.left_out else ""
        say.out(f"{say.path(out)}: {conversion.kind}, {conversion.tensors:,} tensors{left}")
    return 0


def _write(out: Path, pieces: Iterator[bytes], overwrite: bool) -> None:
    """Write a file under a temporary name, then rename it, so that no half-written file is ever visible.

    Raises:
        FileExistsError: the file exists, and `overwrite` is False.
        OSError: the file cannot be written.
    """
    if not overwrite and out.exists():
        raise FileExistsError
    draft = out.parent / f".{uuid.uuid4().hex}.part"
    try:
        with draft.open("xb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            draft.replace(out)
        else:
            os.link(draft, out)  # unlike a rename, a link never replaces a file
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _refused(code: str, message: str, hint: str | None) -> GraphError:
    return GraphError([Problem(code, message, hint=hint)])
