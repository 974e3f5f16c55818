"""`safelight cache`: shows, clears and verifies the results on disk."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import request, say
from engine.cli.commands import Command, Group
from engine.cli.request import AsJson, Home
from engine.errors import GraphError, Problem, SafelightError
from engine.near_names import near

if TYPE_CHECKING:
    from engine.session import Session
    from engine.store.disk import Disk

_AGE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?([smhdw]?)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

app = typer.Typer(cls=Group, help="Show, clear or verify the results cached on disk.")


@app.callback(invoke_without_command=True)
def cache(ctx: typer.Context, home: Home = None, json: AsJson = False) -> int:
    """Show, clear or verify the results cached on disk."""
    if ctx.invoked_subcommand is None:
        return show(home, json)
    # Options before the subcommand apply to it too, unless it sets them itself.
    ctx.default_map = {ctx.invoked_subcommand: {"home": home, "json": json}}
    return 0


@app.command(cls=Command)
def show(home: Home = None, json: AsJson = False) -> int:
    """Show the cached results by node type, and how often runs reused them."""
    with request.session(home) as session:
        disk = _disk(session)
        before = disk.problem
        usage = disk.usage()
        folders, in_folders = session.step_folders.usage()
        _refuse_trouble(disk, before)
    rows = {
        name: (*usage.by_type.get(name, (0, 0)), *usage.uses.get(name, (0, 0)))
        for name in {**usage.by_type, **usage.uses}
    }
    if json:
        types = {
            name: {"entries": count, "bytes": size, "hits": hits, "made": made}
            for name, (count, size, hits, made) in rows.items()
        }
        tree = {"folder": str(disk.folder), "bytes": usage.bytes, "budget": usage.budget, "types": types}
        say.as_json({**tree, "steps": {"folders": folders, "bytes": in_folders}})
        return 0
    if rows:
        say.out(f"{'cached':>10}{'size':>12}{'reused':>9}  node type")
    for name, (count, size, hits, made) in rows.items():
        say.out(f"{count:>10,}{say.size(size):>12}{_share(hits, made):>9}  {say.line(name)}")
    if folders:
        say.out(
            f"{folders:,} folders of long steps, {say.size(in_folders)}: unfinished work and published files"
        )
    say.out(f"{say.size(usage.bytes)} of at most {say.size(usage.budget)} in {say.path(disk.folder)}")
    return 0


@app.command(cls=Command)
def clear(
    node_type: Annotated[
        str | None,
        typer.Option("--type", metavar="TYPE", help="Only results of this node type: Denoise, or Denoise@1."),
    ] = None,
    older: Annotated[
        str | None,
        typer.Option(
            metavar="AGE",
            help="Only results not used for this long: 7d, 12h, 30m, 2w; a bare number is days.",
        ),
    ] = None,
    home: Home = None,
    json: AsJson = False,
) -> int:
    """Delete cached results, and the unfinished work and published files of long steps.

    The next run that needs a result computes it again. With --type, only results are deleted.
    """
    seconds = None if older is None else _seconds(older)
    with request.session(home) as session:
        disk = _disk(session)
        if node_type is not None:
            _refuse_unknown(node_type, disk, session)
        if not disk.writable:
            raise SafelightError(f"no result was deleted, because {disk.folder} cannot be written")
        before = disk.problem
        count, size = disk.clear(node_type, seconds)
        folders, in_folders = (0, 0) if node_type else session.step_folders.clear(seconds)
        _refuse_trouble(disk, before)
    size += in_folders
    if json:
        say.as_json({"entries": count, "folders": folders, "bytes": size})
    else:
        more = f" and {folders:,} folders of long steps" if folders else ""
        say.out(f"{count:,} results{more} deleted, {say.size(size)} freed")
    return 0


@app.command(cls=Command)
def verify(home: Home = None, json: AsJson = False) -> int:
    """Verify the checksum of every cached result; damaged results are deleted."""
    with request.session(home) as session:
        disk = _disk(session)
        before = disk.problem
        damaged = disk.verify()
        if not damaged:
            _refuse_trouble(disk, before)
        outcome = (
            "deleted"
            if disk.writable
            else "found; they are not deleted, because the folder cannot be written"
        )
    if json:
        rows = [{"key": item.key, "type": item.node_type, "what": item.what} for item in damaged]
        say.as_json({"damaged": rows})
    else:
        for item in damaged:
            say.out(say.line(f"{item.node_type or 'the index'}: {item.what}"))
        say.out(f"{len(damaged):,} damaged results {outcome}" if damaged else "no result is damaged")
    return 1 if damaged else 0


def _disk(session: Session) -> Disk:
    from engine.store.disk import Disk

    disk = session.store.disk
    if disk is None:
        raise SafelightError("no results are cached on disk: the setting disk_budget is 0")
    if not isinstance(disk, Disk):
        raise SafelightError(f"this command needs results in a folder; this home has {type(disk).__name__}")
    if not disk.readable:
        raise SafelightError(disk.problem)
    return disk


def _refuse_trouble(disk: Disk, before: str) -> None:
    """Raise an error if the store failed during the command, so that no wrong numbers are shown.

    Args:
        disk: the store.
        before: the store's problem before the command, which has already been shown as a warning.

    Raises:
        SafelightError: the store has another problem than before.
    """
    if not disk.readable or disk.problem != before:
        raise SafelightError(disk.problem)


def _refuse_unknown(node_type: str, disk: Disk, session: Session) -> None:
    """Refuse a node type that is not installed and has no cached results, since it is probably mistyped.

    Raises:
        GraphError: the node type is unknown.
    """
    cached = disk.usage().by_type
    known = {*(versioned.partition("@")[0] for versioned in cached), *session.registry.types}
    if (name := node_type.partition("@")[0]) not in known:
        hint = near(name, known) or "safelight cache lists the node types with cached results"
        raise GraphError([Problem("unknown_type", f"there is no node type {node_type!r}", hint=hint)])


def _share(hits: int, made: int) -> str:
    """Format the share of reused results as a percentage."""
    return f"{hits / (hits + made):.0%}" if hits + made else ""


def _seconds(age: str) -> float:
    """Convert an age such as `7d` to seconds.

    Raises:
        GraphError: the text is not an age.
    """
    match = _AGE.fullmatch(age.strip())
    if match is None:
        hint = "write a number of days, or a number with a unit: 45s, 30m, 12h, 7d, 2w"
        raise GraphError([Problem("bad_option", f"--older: {age!r} is not an age", hint=hint)])
    return float(match[1]) * _SECONDS[match[2] or "d"]
