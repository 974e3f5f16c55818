"""`safelight plan`: what a run would do, step by step, and why."""

from __future__ import annotations

import typer

from engine.cli import request, say
from engine.cli.request import AsJson, Device, GraphPath, Help, Home, Sets, Sweeps, Targets

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
    help: Help = False,
) -> int:
    """Say which steps a run would compute, which it has already, and why; nothing is run."""
    asked = request.asked(ctx, graph, sets, sweeps, help)
    if asked is None:
        return 0
    with request.session(home, device) as session:
        document, values = asked.found(session)
        planned = session.plan(document, values, to or (), name=asked.name)
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
    if json:
        say.as_json({"steps": steps, "targets": list(planned.targets), "to_run": len(planned.to_run)})
        return 0

    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("node", "type", "action", "why", box=SIMPLE, pad_edge=False)
    for step in steps:
        action = str(step["action"])
        table.add_row(
            str(step["node"]),
            Text(say.line(step["type"])),
            Text(action, style=STYLES[action]),
            Text(say.line(step["reason"])),
        )
    console = Console()
    console.print(table)
    console.print(Text(f"{len(planned.to_run):,} of {len(steps):,} steps would run"))
    return 0
