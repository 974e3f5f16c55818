"""`safelight run`: a graph to the end, with progress, a table of its nodes, and its outputs as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import request, say
from engine.cli.answer import Answer
from engine.cli.following import EventsFile, TraceFile, events_to, following, together
from engine.cli.request import AsJson, Device, GraphPath, Help, Home, Sets, Sweeps, Targets
from engine.cli.stopping import EXIT_CODE, interruptible, stopping
from engine.errors import Problem, SafelightError
from engine.paths import expanded

if TYPE_CHECKING:
    from engine.outputs import Outputs
    from engine.plan import Plan
    from engine.session import Session

EXIT_CODES = {"done": 0, "failed": 1, "cancelled": EXIT_CODE}


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
    every: Annotated[
        bool, typer.Option("--all", help="Give every element of a list a row of the table.")
    ] = False,
    trace: TraceFile = None,
    events: EventsFile = None,
    help: Help = False,
) -> int:
    """Run a graph and write its outputs.

    The inputs that a graph declares are options of this command: safelight run GRAPH --help lists them.
    With --sweep such an input takes many values: safelight run GRAPH --sweep guidance=3:9:2 --sweep seed=1,2.
    """
    asked = request.asked(ctx, graph, sets, sweeps, help)
    if asked is None:
        return 0
    folder = None if out is None else expanded(out).absolute()  # before anything is run for it
    with request.session(home, device) as session, events_to(events) as tell:
        session.files.outputs = folder or session.files.outputs
        with stopping(session.cancel), following(session, trace) as watch:
            with watch.span("read, check and plan"):
                document, values = asked.found(session)
                if not quiet and not json:
                    say.problems(session.registry.problems)
                plan = session.plan(document, values, to or (), name=asked.name)
                if not json:
                    say.problems(plan.checked.problems)
                outputs = _outputs(session, plan, asked_for=out is not None)

            from engine.cli.progress import view
            from engine.remarks import Remarks

            kept = session.settings.store_folder / "warnings" if session.settings.disk_budget else None
            with view(quiet) as shown, watch.span("run"):
                remarks = Remarks(kept, together(watch, tell, shown))
                report = session.walk(plan, remarks, watch)

            # A node that goes through lists has the problem of the element that failed.
            problems = list(dict.fromkeys(node.problem for node in report.nodes.values() if node.problem))
            warned = {node: said for node in report.nodes if (said := remarks.of(node))}
            answer = Answer(report, problems, warned, watch.memory)
        try:
            with interruptible():
                if outputs.inscribed or any(
                    packed.parts for packed in (*report.outputs.values(), *report.partial.values())
                ):
                    session.files.keep(say.warn)
                for name, written in outputs.write(
                    {**report.outputs, **report.partial},
                    session.files.outputs,
                    document.title or asked.path.stem,
                ):
                    answer.outputs[name] = written
        except KeyboardInterrupt:
            report.state = "cancelled"
        except SafelightError as error:
            report.state = "failed"
            problems.append(Problem("unwritable", str(error), hint="name another folder with --out"))
        if json:
            say.as_json(answer.as_json())
        else:
            answer.show(quiet, every)
    return EXIT_CODES[report.state]


def _outputs(session: Session, plan: Plan, *, asked_for: bool) -> Outputs:
    """What writes the outputs, and what nodes write besides.

    Args:
        session: whose store holds them.
        plan: what is to be run.
        asked_for: whether the folder was named, so that it has to be fit for files even if none may come.

    Raises:
        GraphError: files are to be written, and the folder takes none.
    """
    from engine.outputs import Outputs, refuse_unwritable

    wires = [
        plan.steps[link.node].bound.type.outputs[link.output]
        for link in plan.checked.outputs.values()
        if link.node in plan.targets
    ]
    if asked_for or any(wire.is_value for wire in wires):
        refuse_unwritable(session.files.outputs)
    outputs = Outputs(plan, session.store, session.registry.annotators, say.warn)
    session.files.inscribe = outputs.inscribe
    return outputs
