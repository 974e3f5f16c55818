"""`safelight plan`: shows which steps a run would compute or reuse, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import request, say
from engine.cli.request import AsJson, Device, GraphPath, Help, Home, Off, Sets, Sweeps, Targets

if TYPE_CHECKING:
    from engine.explain.reasons import Reasons
    from engine.plan.step import Step

STYLES = {"run": "bold", "reuse": "cyan", "share": "cyan", "unneeded": "dim", "may_run": ""}


def plan(
    ctx: typer.Context,
    graph: GraphPath = None,
    sets: Sets = None,
    sweeps: Sweeps = None,
    off: Off = None,
    to: Targets = None,
    home: Home = None,
    device: Device = None,
    json: AsJson = False,
    every: Annotated[
        bool, typer.Option("--all", metavar="", help="Show a row for every element of a list.")
    ] = False,
    help: Help = False,
) -> int:
    """Show which steps a run would compute, which it would reuse, and why; nothing is run."""
    arguments = request.arguments(ctx, graph, sets, sweeps, off, home, help)
    if arguments is None:
        return 0
    with request.session(home, device) as session:
        document, values = arguments.read(session)
        planned = session.plan(document, values, to or (), name=arguments.name)
        reasons = session.reasons(planned)
        say.problems(session.advice(planned.checked))
    if json:
        steps = [
            {
                "node": step.id,
                "type": step.bound.type.id,
                "action": step.action,
                "reason": reasons.why(step),
                "key": step.key,
            }
            for step in planned.steps.values()
        ]
        say.as_json(
            {
                "steps": steps,
                "targets": list(planned.targets),
                "to_run": len(planned.to_run),
                "may_run": len(planned.may_run),
            }
        )
        return 0

    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    from engine.cli.tables import show
    from engine.plan.step import Gather

    table = Table("node", "type", "action", "why", box=SIMPLE, pad_edge=False)
    count = 0
    for step in planned.steps.values():
        count += not isinstance(step, Gather)
        if every or "[" not in step.id:
            type_id, why = Text(say.line(step.bound.type.id)), Text(say.line(_why(step, reasons)))
            table.add_row(
                step.id, type_id, Text(step.action.replace("_", " "), style=STYLES[step.action]), why
            )
    more = f", and {len(planned.may_run):,} more may run" if planned.may_run else ""
    show(table, Text(f"{len(planned.to_run):,} of {count:,} steps would run{more}"))
    return 0


def _why(step: Step, reasons: Reasons) -> str:
    """The reason a step runs or does not; for a node that runs over a list, also that of its first running
    element."""
    first = next((element for element in step.elements() if element.action == "run"), step)
    why = reasons.why(step)
    return why if first is step else f"{why}; {reasons.why(first)}"
