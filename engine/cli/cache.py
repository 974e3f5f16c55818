"""`safelight cache`: what the store holds on disk; showing, clearing and verifying it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import request, say
from engine.cli.request import AsJson, Home
from engine.errors import SafelightError

if TYPE_CHECKING:
    from engine.session import Session
    from engine.store.disk import Disk

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
    """Say what is kept, by node type."""
    with request.session(home) as session:
        disk = _disk(session)
        usage = disk.usage()
    if json:
        types = {name: {"entries": count, "bytes": size} for name, (count, size) in usage.by_type.items()}
        tree = {"folder": str(disk.folder), "bytes": usage.bytes, "budget": usage.budget, "types": types}
        say.as_json(tree)
        return 0
    for name, (count, size) in usage.by_type.items():
        say.out(f"{count:>8,}  {_short(size):>12}  {say.line(name)}")
    say.out(f"{_short(usage.bytes)} of at most {_short(usage.budget)} in {say.path(disk.folder)}")
    return 0


@app.command()
def clear(
    node_type: Annotated[
        str | None, typer.Argument(metavar="TYPE", help="Only results of this node type.")
    ] = None,
    older_than: Annotated[
        float | None, typer.Option(metavar="DAYS", min=0, help="Only what was not used for so many days.")
    ] = None,
    home: Home = None,
    json: AsJson = False,
) -> int:
    """Forget kept results; they are made again when a graph needs them."""
    with request.session(home) as session:
        seconds = None if older_than is None else older_than * 86400
        count, size = _disk(session).clear(node_type, seconds)
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
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
