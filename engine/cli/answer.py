"""Prints the result of `safelight run` for people: a table of the nodes, and the list of files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from engine.cli import say

if TYPE_CHECKING:
    from engine.outputs.written_outputs import Written
    from engine.run.report import NodeReport
    from engine.session.report import SessionReport

STYLES = {"done": "green", "cached": "cyan", "failed": "bold red", "skipped": "yellow", "cancelled": "yellow"}

MOST_ROWS = 60
"""With more nodes than this, only the failed and the slowest ones have rows; the others are counted."""


def show(report: SessionReport, quiet: bool, every: bool = False) -> None:
    """Print the result of a run for people.

    Args:
        report: the report of the run.
        quiet: True to print only the outputs.
        every: True to show a row for every step, including elements of lists.
    """
    if not quiet:
        _table(report, every)
    if say.debugging():
        for node in report.nodes.values():
            if node.trace:
                say.err(node.trace)
    say.problems(report.problems)
    for owner, published in report.published.items() if not quiet else ():
        for kept in published:
            say.err(f"{owner} published {say.path(kept.path)} ({say.size(kept.size)})")
    for name, item in report.written.items():
        lead = "" if quiet else f"{name}: "
        if item.summary and not quiet and not _is_picture(item):
            say.out(f"{lead}{say.line(item.summary)}")
        for file in item.files:
            say.out(f"{lead}{say.path(file)}")
        if item.type == "json":
            import json

            say.out(f"{lead}{json.dumps(item.value, ensure_ascii=False)}")
    if report.state == "done" and not report.written and not quiet:
        say.err("no file is written, because no declared output depends on the computed nodes")
    if report.state != "done" and not quiet:
        rest = "finished steps are cached, and the next run continues from there"
        if report.unsaved:
            from engine.explain.wording import listed

            names = listed(report.unsaved)
            rest = f"the next run computes {names} again, because these results could not be saved"
        say.err(f"{report.state}; {rest}")


def _is_picture(item: Written) -> bool:
    """Return True if an output consists of pictures only; no summary is printed for them."""
    from engine.outputs.writer import SUFFIXES

    pictures = {suffix for media, suffix in SUFFIXES.items() if media.startswith("image/")}
    return bool(item.files) and all(file.suffix in pictures for file in item.files)


def _table(report: SessionReport, every: bool) -> None:
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    from engine.cli import tables

    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("node", overflow="fold")
    table.add_column("state")
    table.add_column("seconds", justify="right")
    table.add_column("why", overflow="fold")
    rows = report.nodes if every else _rows(report)
    shown = rows.keys() if every else _selected(rows)
    for node, item in rows.items():
        if node in shown:
            seconds = f"{item.seconds:.2f}" if item.seconds else ""
            style = STYLES[item.state]
            table.add_row(node, Text(item.state, style=style), seconds, Text(say.line(_why(report, item))))
    others = Counter(item.state for node, item in rows.items() if node not in shown)
    for state, count in others.items():
        table.add_row(f"{count:,} {'others' if shown else 'nodes'}", Text(state, style=STYLES[state]))
    counts = Counter(item.state for node, item in report.nodes.items() if "[" not in node)
    summary = ", ".join(f"{count:,} {state}" for state, count in counts.items())
    tables.show(table, Text(f"{report.state} in {report.seconds:.2f} s: {summary}"))


def _rows(report: SessionReport) -> dict[str, NodeReport]:
    """Return the reports of the nodes, and of the failed elements of nodes that go through a list."""
    from engine.plan.step import Gather

    return {
        node: item
        for node, item in report.nodes.items()
        if "[" not in node or (item.state == "failed" and not isinstance(item.step, Gather))
    }


def _selected(rows: Mapping[str, NodeReport]) -> Collection[str]:
    """Return the ids of the nodes to show: all, or only the failed and the slowest if there are many."""
    if len(rows) <= MOST_ROWS:
        return rows.keys()
    fresh = [(node, item) for node, item in rows.items() if item.state != "cached"]
    fresh.sort(key=lambda row: (row[1].state != "failed", -row[1].seconds))
    return {node for node, _ in fresh[:MOST_ROWS]}


def _why(report: SessionReport, item: NodeReport) -> str:
    """Return the reason for a node's state; for a node that goes through a list, counts of its elements."""
    from engine.plan.step import Gather

    if not isinstance(item.step, Gather) or item.message or item.step.children is None:
        return item.reason
    elements = [report.nodes[step.id] for step in item.step.elements()]
    states = Counter(element.state for element in elements)
    counts = [f"{states.pop(item.state, 0):,} of {len(elements):,} elements"]
    counts += [f"{count:,} {state}" for state, count in states.items()]
    reason = next((element.reason for element in elements if element.state == item.state), "")
    return ", ".join(counts) + (f"; {reason}" if reason and item.state == "done" else "")
