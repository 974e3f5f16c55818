"""`safelight cache`: what the store holds on disk; showing, clearing and verifying it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import request, say
from engine.cli.request import AsJson, Home
from engine.errors import GraphError, Problem, SafelightError

if TYPE_CHECKING:
    from engine.session import Session
    from engine.store.disk import Disk

_AGE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?([smhdw]?)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

app = typer.Typer(help="Show, clear or verify the results that are kept on disk.")


@app.callback(invoke_without_command=True)
def cache(ctx: typer.Context, home: Home = None, json: AsJson = False) -> int:
    """Show, clear or verify the results that are kept on disk."""
    if ctx.invoked_subcommand is None:
        return show(home, json)
    # What stands before the command holds for it too, unless it says otherwise itself.
    ctx.default_map = {ctx.invoked_subcommand: {"home": home, "json": json}}
    return 0


@app.command()
def show(home: Home = None, json: AsJson = False) -> int:
    """Say what is kept, by node type, and how much of what runs wanted was there."""
    with request.session(home) as session:
        disk = _disk(session)
        usage = disk.usage()
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
        say.as_json(tree)
        return 0
    if rows:
        say.out(f"{'kept':>10}{'size':>12}{'reused':>9}  node type")
    for name, (count, size, hits, made) in rows.items():
        say.out(f"{count:>10,}{_short(size):>12}{_share(hits, made):>9}  {say.line(name)}")
    say.out(f"{_short(usage.bytes)} of at most {_short(usage.budget)} in {say.path(disk.folder)}")
    return 0


@app.command()
def clear(
    node_type: Annotated[
        str | None, typer.Argument(metavar="TYPE", help="Only results of this node type, as --type.")
    ] = None,
    of_type: Annotated[
        str | None,
        typer.Option("--type", metavar="TYPE", help="Only results of this node type: Denoise, or Denoise@1."),
    ] = None,
    older: Annotated[
        str | None,
        typer.Option(
            "--older",
            "--older-than",
            metavar="AGE",
            help="Only what was not used for so long: 7d, 12h, 30m, 2w; a bare number is days.",
        ),
    ] = None,
    home: Home = None,
    json: AsJson = False,
) -> int:
    """Forget kept results; they are made again when a graph needs them."""
    if node_type is not None and of_type not in (None, node_type):
        raise GraphError([Problem("bad_use", f"two node types are named: {node_type} and {of_type}")])
    seconds = None if older is None else _seconds(older)
    with request.session(home) as session:
        count, size = _disk(session).clear(node_type or of_type, seconds)
    if json:
        say.as_json({"entries": count, "bytes": size})
    else:
        say.out(f"{count:,} results forgotten, {_short(size)} freed")
    return 0


@app.command()
def verify(home: Home = None, json: AsJson = False) -> int:
    """Read everything that is kept against its checksums; what is damaged is removed."""
    with request.session(home) as session:
        found = _disk(session).verify()
    if json:
        damaged = [{"key": item.key, "type": item.node_type, "what": item.what} for item in found]
        say.as_json({"damaged": damaged})
    else:
        for item in found:
            say.out(say.line(f"{item.node_type or 'the index'}: {item.what}"))
        say.out(f"{len(found):,} damaged results removed" if found else "nothing is damaged")
    return 1 if found else 0


def _disk(session: Session) -> Disk:
    disk = session.store.disk
    if disk is None:
        raise SafelightError("nothing is kept on disk: the setting disk_budget is 0")
    return disk


def _short(size: int) -> str:
    for unit, of in (("GB", 1e9), ("MB", 1e6)):
        if size >= of:
            return f"{size / of:,.1f} {unit}"
    return f"{size / 1e3:,.1f} kB"


def _share(hits: int, made: int) -> str:
    """How much of what runs wanted was there."""
    return f"{hits / (hits + made):.0%}" if hits + made else ""


def _seconds(age: str) -> float:
    """The seconds in an age such as `7d`.

    Raises:
        GraphError: it is none.
    """
    found = _AGE.fullmatch(age.strip())
    if found is None:
        hint = "write a number of days, or one with a unit: 45s, 30m, 12h, 7d, 2w"
        raise GraphError([Problem("bad_option", f"--older {age!r} is no age", hint=hint)])
    return float(found[1]) * _SECONDS[found[2] or "d"]
