"""`safelight run`: a graph to the end, with progress, a table of its nodes, and its outputs as files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import request, say
from engine.cli.request import AsJson, Device, GraphPath, Help, Home, Sets, Sweeps, Targets
from engine.cli.stopping import EXIT_CODE, interruptible, stopping
from engine.errors import Problem, SafelightError
from engine.paths import expanded

if TYPE_CHECKING:
    from engine.outputs import Written
    from engine.plan import Plan
    from engine.run import Report
    from engine.session import Session

EXIT_CODES = {"done": 0, "failed": 1, "cancelled": EXIT_CODE}
STYLES = {"done": "green", "cached": "cyan", "failed": "bold red", "skipped": "yellow", "cancelled": "yellow"}

MOST_ROWS = 60
"""Of more nodes than this, the failed and the slowest have rows of their own; the others are counted."""


def run(
    ctx: typer.Context,
    graph: GraphPath = None,
    sets: Sets = None,
    sweeps: Sweeps = None,
    to: Targets = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where outputs are written; else HOME/outputs.")
    ] = None,
    home: Home = None,
    device: Device = None,
    json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only the outputs.")] = False,
    help: Help = False,
) -> int:
    """Run a graph and write its outputs.

    The inputs that a graph declares are options of this command: safelight run GRAPH --help lists them.
    With --sweep such an input takes many values: safelight run GRAPH --sweep guidance=3:9:2 --sweep seed=1,2.
    """
    if help:
        return request.show_help(ctx, graph)
    path = request.given(graph)
    folder = None if out is None else expanded(out).absolute()  # before anything is run for it
    with request.session(home, device) as session:
        with stopping(session.cancel):
            document, values = request.asked(session, path, ctx.args, sets, sweeps)
            if not quiet and not json:
                say.problems(session.registry.problems)
            plan = session.plan(document, values, to or ())
            if not json:
                say.problems(plan.checked.problems)

            from engine.cli.progress import view

            with view(quiet) as shown:
                report = session.walk(plan, shown)

        problems = [node.problem for node in report.nodes.values() if node.problem is not None]
        outputs: dict[str, Written] = {}
        try:
            with interruptible():
                for name, written in _written(session, plan, report, folder, document.title or path.stem):
                    outputs[name] = written
        except KeyboardInterrupt:
            report.state = "cancelled"
        except SafelightError as error:
            report.state = "failed"
            problems.append(Problem("unwritable", str(error), hint="name another folder with --out"))
        if json:
            _answer(report, outputs, problems)
        else:
            _show(session, report, outputs, problems, quiet)
    return EXIT_CODES[report.state]


def _written(
    session: Session, plan: Plan, report: Report, folder: Path | None, name: str
) -> Iterator[tuple[str, Written]]:
    """The outputs as they are written, one by one."""
    from engine.outputs import Outputs

    if any(packed.parts for packed in report.outputs.values()):
        session.files.keep(say.warn)
    writer = Outputs(plan, session.store, session.registry.annotators, say.warn)
    return writer.write(report.outputs, folder or session.settings.home / "outputs", name)


def _answer(report: Report, outputs: Mapping[str, Written], problems: list[Problem]) -> None:
    answer: dict[str, object] = {
        "state": report.state,
        "seconds": round(report.seconds, 6),
        "outputs": {
            name: {
                "type": item.type,
                "files": [str(file.absolute()) for file in item.files],
                **({"value": item.value} if item.type == "json" else {}),
                "digest": item.digest,
            }
            for name, item in outputs.items()
        },
        "nodes": {
            node: {
                "state": item.state,
                "cache": item.cache,
                "seconds": round(item.seconds, 6),
                "reason": item.reason,
            }
            for node, item in report.nodes.items()
        },
    }
    if problems:
        answer["problems"] = [problem.as_json() for problem in problems]
    say.as_json(answer)


def _show(
    session: Session, report: Report, outputs: Mapping[str, Written], problems: list[Problem], quiet: bool
) -> None:
    if not quiet:
        _table(report)
    if say.debugging():
        for node in report.nodes.values():
            if node.trace:
                say.err(node.trace)
    say.problems(problems)
    for name, item in outputs.items():
        lead = "" if quiet else f"{name}: "
        for file in item.files:
            say.out(f"{lead}{say.path(file)}")
        if item.type == "json":
            import json

            say.out(f"{lead}{json.dumps(item.value, ensure_ascii=False)}")
    if report.state == "done" and not outputs and not quiet:
        say.err("nothing is written: what was asked for leads to none of the graph's declared outputs")
    if report.state != "done" and not quiet:
        say.err(f"{report.state}; what is finished is kept, so the next run goes on from there")


def _table(report: Report) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("node", overflow="fold")
    table.add_column("state")
    table.add_column("seconds", justify="right")
    table.add_column("why", overflow="fold")
    shown = _telling(report)
    for node, item in report.nodes.items():
        if node in shown:
            seconds = f"{item.seconds:.2f}" if item.seconds else ""
            style = STYLES[item.state]
            table.add_row(node, Text(item.state, style=style), seconds, Text(say.line(item.reason)))
    others = Counter(item.state for node, item in report.nodes.items() if node not in shown)
    for state, count in others.items():
        table.add_row(f"{count:,} {'others' if shown else 'nodes'}", Text(state, style=STYLES[state]))
    counts = Counter(item.state for item in report.nodes.values())
    console = Console()
    console.print(table)
    told = ", ".join(f"{count:,} {state}" for state, count in counts.items())
    console.print(Text(f"{report.state} in {report.seconds:.2f} s: {told}"))


def _telling(report: Report) -> set[str]:
    """The nodes that have rows of their own."""
    if len(report.nodes) <= MOST_ROWS:
        return set(report.nodes)
    fresh = [(node, item) for node, item in report.nodes.items() if item.state != "cached"]
    fresh.sort(key=lambda row: (row[1].state != "failed", -row[1].seconds))
    return {node for node, _ in fresh[:MOST_ROWS]}
