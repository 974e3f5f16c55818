"""`safelight plan`: shows which steps a run would compute or reuse, why, and its time and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import request, say
from engine.cli.request import AsJson, Device, GraphPath, Help, Home, Off, Sets, Sweeps, Targets
from engine.devices.memory import in_units

if TYPE_CHECKING:
    from engine.explain.reasons import Reasons
    from engine.plan.step import Step
    from engine.session.estimate import Estimate

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
    """Show which steps a run would compute, why, and an estimate of time and memory; nothing is run."""
    arguments = request.arguments(ctx, graph, sets, sweeps, off, home, help)
    if arguments is None:
        return 0
    with request.session(home, device) as session:
        document, values = arguments.read(session)
        planned = session.plan(document, values, to or (), name=arguments.name)
        reasons = session.reasons(planned)
        estimate = session.estimate(planned, reasons.record)
        say.problems(session.advice(planned.checked))
    if json:
        steps = [
            {
                "node": step.id,
                "type": step.bound.type.id,
                "action": step.action,
                "reason": reasons.why(step),
                "key": step.key,
                **estimate.of_step(step.id).as_json(),
            }
            for step in planned.steps.values()
        ]
        say.as_json(
            {
                "steps": steps,
                "targets": list(planned.targets),
                "to_run": len(planned.to_run),
                "may_run": len(planned.may_run),
                "estimate": estimate.as_json(),
            }
        )
        return 0

    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    from engine.cli.tables import show
    from engine.plan.step import Gather

    table = Table(box=SIMPLE, pad_edge=False)
    for name in ("node", "type", "action", "time", "memory", "why"):
        table.add_column(name, justify="right" if name in ("time", "memory") else "left")
    count = 0
    for step in planned.steps.values():
        count += not isinstance(step, Gather)
        if every or "[" not in step.id:
            type_id, why = Text(say.line(step.bound.type.id)), Text(say.line(_why(step, reasons)))
            action = Text(step.action.replace("_", " "), style=STYLES[step.action])
            table.add_row(step.id, type_id, action, *_needs(estimate, step), why)
    more = f", and {len(planned.may_run):,} more may run" if planned.may_run else ""
    lines = [f"{len(planned.to_run):,} of {count:,} steps would run{more}"]
    if planned.to_run or planned.may_run:
        lines.append(_summary(estimate))
    show(table, *map(Text, lines))
    return 0


def _needs(estimate: Estimate, step: Step) -> tuple[str, str]:
    """Format the estimated time and memory of a step; empty if unknown. For a node that goes through a list,
    the time is that of all elements, and the memory that of the largest."""
    found = [estimate.of_step(element.id) for element in step.elements()]
    times = [one.seconds for one in found if one.seconds is not None]
    sizes = [(one.models or 0) + (one.memory or 0) for one in found]
    most = max(sizes, default=0)
    return _about(sum(times)) if times else "", in_units(most) if most else ""


def _about(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds >= 0.1 else "0 s"
    return f"{seconds:,.0f} s" if seconds < 600 else f"{seconds / 60:,.0f} min"


def _summary(estimate: Estimate) -> str:
    """Return one sentence with the estimated time and memory of the run."""
    parts = []
    if estimate.seconds or not estimate.unknown:
        parts.append(f"about {_about(estimate.seconds)}")
    if estimate.unknown:
        parts.append(f"the time of {estimate.unknown:,} steps is not known before they have run once")
    if estimate.peak:
        parts.append(f"{in_units(estimate.models)} of models and at most {in_units(estimate.peak)} at once")
        if estimate.free is not None:
            parts.append(f"{estimate.device} has {in_units(estimate.free)} free")
    return ", ".join(parts)


def _why(step: Step, reasons: Reasons) -> str:
    """Return the reason why a step runs or does not run; for a node that goes through a list, also that of
    the first element that runs."""
    first = next((element for element in step.elements() if element.action == "run"), step)
    why = reasons.why(step)
    return why if first is step else f"{why}; {reasons.why(first)}"
