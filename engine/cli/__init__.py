"""The command line: `safelight run`, `check`, `plan`, `diff`, `serve`, `nodes`, `models` and others."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, TextIO

import typer

from engine.cli import (
    cache,
    check,
    convert,
    devices,
    diff,
    graphs,
    import_,
    models,
    nodes,
    plan,
    run,
    say,
    serve,
)
from engine.cli.commands import Command, Group
from engine.cli.request import TAKES_GRAPH
from engine.cli.stopping import EXIT_CODE
from engine.errors import GraphError, Problem, SafelightError
from engine.run.captured_stdout import AnswerLost

BAD_USE = 2

app = typer.Typer(
    cls=Group, name="safelight", add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich"
)
app.command(**TAKES_GRAPH)(run.run)  # type: ignore[arg-type]
app.command(**TAKES_GRAPH)(check.check)  # type: ignore[arg-type]
app.command(**TAKES_GRAPH)(plan.plan)  # type: ignore[arg-type]
app.command(cls=Command)(diff.diff)
app.command(cls=Command)(serve.serve)
app.command(cls=Command)(graphs.graphs)
app.command(cls=Command)(models.models)
app.command(cls=Command)(devices.devices)
app.command(cls=Command)(convert.convert)
app.command(cls=Command, name="import")(import_.import_)
app.add_typer(nodes.app, name="nodes")
app.add_typer(cache.app, name="cache")


@app.callback(invoke_without_command=True)
def safelight(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", metavar="", help="Show the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", metavar="", help="Show tracebacks; also SAFELIGHT_DEBUG=1.")
    ] = False,
) -> None:
    """Run node graphs for diffusion; every result is cached."""
    if debug:
        os.environ["SAFELIGHT_DEBUG"] = "1"
    if version:
        from importlib.metadata import version as installed

        say.out(f"safelight {installed('safelight')}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        if text := ctx.get_help():
            say.out(text)
        raise typer.Exit(BAD_USE)


def main(args: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        args: the words after `safelight`; by default those of this process.

    Returns:
        the exit code: 0 done, 1 failed, 2 invalid usage or graph, 130 cancelled.
    """
    words = list(sys.argv[1:] if args is None else args)
    if sys.stdout is None:
        say.err("standard output is closed, so the answer cannot be written")
        return 1
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with say.paths_from(_current_folder()):
            code = _command(words)
        sys.stdout.flush()
        return code
    except AnswerLost as lost:
        if not isinstance(lost.cause, BrokenPipeError):  # otherwise the reader closed the pipe
            say.err(f"the answer cannot be written: {lost.cause.strerror}")
        return 1
    except BrokenPipeError:
        _discard(sys.stdout)  # the reader closed the pipe; Python would report it again at exit
        return 1
    except OSError as error:
        _discard(sys.stdout)
        say.err(f"the answer cannot be written: {error.strerror}")
        return 1


def _current_folder() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # it was deleted
        return None


def _command(words: list[str]) -> int:
    as_json = "--json" in words
    try:
        code = typer.main.get_command(app).main(words, prog_name="safelight", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except GraphError as error:
        return _refuse(words, error.problems, BAD_USE, as_json)
    except SafelightError as error:
        return _refuse(words, [Problem("failed", str(error))], 1, as_json)
    except typer.TyperException as error:
        hint = "see safelight --help"
        return _refuse(words, [Problem("bad_use", error.format_message(), hint=hint)], BAD_USE, as_json)
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_CODE
    except (BrokenPipeError, AnswerLost):
        raise
    except Exception as error:
        if isinstance(error, OSError):
            sys.stdout.flush()  # if the answer cannot be written, this raises the error again
        problem = Problem("internal", f"Safelight itself failed: {error!r}", hint=_traceback_hint(error))
        return _refuse(words, [problem], 1, as_json)


def _refuse(words: list[str], problems: Sequence[Problem], code: int, as_json: bool) -> int:
    if not as_json:
        say.problems(problems)
    elif words[:1] == ["check"]:
        say.as_json({"ok": False, "problems": [problem.as_json() for problem in problems]})
    else:
        state = "invalid" if code == BAD_USE else "failed"
        say.as_json({"state": state, "problems": [problem.as_json() for problem in problems]})
    return code


def _traceback_hint(error: Exception) -> str:
    """Write the traceback of an error to a file, for a hint that names the file."""
    import tempfile
    import traceback

    trace = "".join(traceback.format_exception(error))
    if say.debugging():
        say.err(trace)
    try:
        with tempfile.NamedTemporaryFile("w", prefix="safelight-", suffix=".txt", delete=False) as file:
            file.write(trace)
    except OSError:
        return "run it again with --debug for the traceback"
    return f"the traceback is in {file.name}"


def _discard(stream: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
