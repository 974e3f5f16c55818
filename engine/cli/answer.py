"""What `safelight run` says when it is over: one JSON object, or a table of the nodes and the files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.cli import say
from engine.errors import Problem

if TYPE_CHECKING:
    from engine.lifecycles.measured import Memory
    from engine.outputs import Written
    from engine.report import NodeReport, Report

STYLES = {"done": "green", "cached": "cyan", "failed": "bold red", "skipped": "yellow", "cancelled": "yellow"}

MOST_ROWS = 60
"""Of more nodes than this, the failed and the slowest have rows of their own; the others are counted."""


@dataclass
class Answer:
    """All that one run came to."""

    report: Report
    problems: list[Problem]
    warnings: Mapping[str, list[str]]
    """What the nodes warned of, by node."""
    memory: Mapping[str, Memory] = field(default_factory=dict)
    """What the nodes took, as far as that was measured."""
    outputs: dict[str, Written] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """The object that `--json` promises."""
        answer: dict[str, object] = {
            "state": self.report.state,
            "seconds": round(self.report.seconds, 6),
            "outputs": {
                name: {
                    "type": item.type,
                    "files": [str(file.absolute()) for file in item.files],
                    **({"value": item.value} if item.type == "json" else {}),
                    "digest": item.digest,
                    **({"partial": True} if item.partial else {}),
                    **self._summary(name),
                    **(
                        {}
                        if item.elements is None
                        else {"elements": [element.as_json() for element in item.elements]}
                    ),
                }
                for name, item in self.outputs.items()
            },
            "nodes": {node: self._node(node) for node in self.report.nodes},
        }
        if self.problems:
            answer["problems"] = [problem.as_json() for problem in self.problems]
        return answer

    def _summary(self, output: str) -> dict[str, str]:
        from engine.outputs import summary

        packed = self.report.outputs.get(output)
        told = "" if packed is None else summary(packed)
        return {"summary": told} if told else {}

    def _node(self, node: str) -> dict[str, object]:
        item = self.report.nodes[node]
        said: dict[str, object] = {
            "state": item.state,
            "cache": item.cache,
            "seconds": round(item.seconds, 6),
            "reason": item.reason,
        }
        if node in self.warnings:
            said["warnings"] = self.warnings[node]
        if node in self.memory:
            said["memory"] = self.memory[node].as_json()
        return said

    def show(self, quiet: bool, every: bool = False) -> None:
        """Say it to a person; quietly the outputs alone.

        Args:
            quiet: True to leave the table out.
            every: True for a row for everything that ran, elements of lists among it.
        """
        report = self.report
        if not quiet:
            _table(report, every)
        if say.debugging():
            for node in report.nodes.values():
                if node.trace:
                    say.err(node.trace)
        say.problems(self.problems)
        for name, item in self.outputs.items():
            lead = "" if quiet else f"{name}: "
            for file in item.files:
                say.out(f"{lead}{say.path(file)}")
            if item.type == "json":
                import json

                say.out(f"{lead}{json.dumps(item.value, ensure_ascii=False)}")
        if report.state == "done" and not self.outputs and not quiet:
            say.err("nothing is written: what was asked for leads to none of the graph's declared outputs")
        if report.state != "done" and not quiet:
            say.err(f"{report.state}; what is finished is kept, so the next run goes on from there")


def _table(report: Report, every: bool) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("node", overflow="fold")
    table.add_column("state")
    table.add_column("seconds", justify="right")
    table.add_column("why", overflow="fold")
    rows = report.nodes if every else _rows(report)
    shown = rows.keys() if every else _telling(rows)
    for node, item in rows.items():
        if node in shown:
            seconds = f"{item.seconds:.2f}" if item.seconds else ""
            style = STYLES[item.state]
            table.add_row(node, Text(item.state, style=style), seconds, Text(say.line(_why(report, item))))
    others = Counter(item.state for node, item in rows.items() if node not in shown)
    for state, count in others.items():
        table.add_row(f"{count:,} {'others' if shown else 'nodes'}", Text(state, style=STYLES[state]))
    counts = Counter(item.state for node, item in report.nodes.items() if "[" not in node)
    console = Console()
    console.print(table)
    told = ", ".join(f"{count:,} {state}" for state, count in counts.items())
    console.print(Text(f"{report.state} in {report.seconds:.2f} s: {told}"))


def _rows(report: Report) -> dict[str, NodeReport]:
    """The nodes, and those elements of nodes that go through lists which failed."""
    from engine.step import Gather

    return {
        node: item
        for node, item in report.nodes.items()
        if "[" not in node or (item.state == "failed" and not isinstance(item.step, Gather))
    }


def _telling(rows: Mapping[str, NodeReport]) -> Collection[str]:
    """Those that have rows of their own."""
    if len(rows) <= MOST_ROWS:
        return rows.keys()
    fresh = [(node, item) for node, item in rows.items() if item.state != "cached"]
    fresh.sort(key=lambda row: (row[1].state != "failed", -row[1].seconds))
    return {node for node, _ in fresh[:MOST_ROWS]}


def _why(report: Report, item: NodeReport) -> str:
    """Why a node fared so; of one that goes through lists, how many elements did, and why."""
    from engine.step import Gather

    if not isinstance(item.step, Gather) or item.said or item.step.children is None:
        return item.reason
    elements = [report.nodes[step.id] for step in item.step.elements()]
    states = Counter(element.state for element in elements)
    told = [f"{states.pop(item.state, 0):,} of {len(elements):,} elements"]
    told += [f"{count:,} {state}" for state, count in states.items()]
    reason = next((element.reason for element in elements if element.state == item.state), "")
    return ", ".join(told) + (f"; {reason}" if reason and item.state == "done" else "")
