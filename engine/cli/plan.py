"""`safelight plan`: what a run would do, step by step, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import request, say
from engine.cli.request import AsJson, Device, GraphPath, Help, Home, Sets, Sweeps, Targets

if TYPE_CHECKING:
    from engine.step import Step

STYLES = {"run": "bold", "reuse": "cyan", "share": "cyan", "unneeded": "dim"}


def plan(
    ctx: typer.Context,
    graph: GraphPath = None,
    sets: Sets = None,
    sweeps: Sweeps = None,
    to: Targets = None,
    home: Home = None,
    device: Device = None,
    json: AsJson = False,
    every: Annotated[bool, typer.Option("--all", help="Give every element of a list a row.")] = False,
    help: Help = False,
) -> int:
    """Say which steps a run would compute, which it has already, and why; nothing is run."""
    asked = request.asked(ctx, graph, sets, sweeps, help)
    if asked is None:
        return 0
    with request.session(home, device) as session:
        document, values = asked.found(session)
        planned = session.plan(document, values, to or (), name=asked.name)
    if json:
        steps = [
            {
                "node": step.id,
                "type": step.bound.type.id,
                "action": step.action,
                "reason": step.reason,
                "key": step.key,
            }
            for step in planned.steps.values()
        ]
        say.as_json({"steps": steps, "targets": list(planned.targets), "to_run": len(planned.to_run)})
        return 0

    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from engine.step import Gather

    table = Table("node", "type", "action", "why", box=SIMPLE, pad_edge=False)
    count = 0
    for step in planned.steps.values():
        count += not isinstance(step, Gather)
        if every or "[" not in step.id:
            type_id, why = Text(say.line(step.bound.type.id)), Text(say.line(_why(step)))
            table.add_row(step.id, type_id, Text(step.action, style=STYLES[step.action]), why)
    console = Console()
    console.print(table)
    console.print(Text(f"{len(planned.to_run):,} of {count:,} steps would run"))
    return 0


def _why(step: Step) -> str:
    """Why a step runs or not; of a node that goes through lists, why its first element does that runs."""
    first = next((one for one in step.elements() if one.action == "run"), step)
    return step.reason if first is step else f"{step.reason}; {first.reason}"
