"""Calls the hooks of node packs that give warnings about a checked graph and the lengths of its texts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from engine.check.check import Checked
from engine.errors import Problem
from engine.files import Files
from engine.pack_errors import hook_problem
from engine.packs.provenance import Advise, Measure, Provenance, TextLength


def advice(advisers: Iterable[Advise], checked: Checked, files: Files) -> list[Problem]:
    """Collect the warnings of node packs about a graph; see `Planner.advice`."""
    steps = _provenance(checked)
    found: list[Problem] = []
    for advise in advisers:
        try:
            found += advise(steps, files)
        except Exception as error:  # the code of a node pack may raise anything
            found.append(replace(hook_problem("advise", advise, error), severity="warning"))
    return found


def text_lengths(
    measurers: Iterable[Measure], checked: Checked, files: Files
) -> tuple[list[TextLength], list[Problem]]:
    """Measure the texts in a graph; return their lengths and warnings. See `Planner.text_lengths`."""
    steps = _provenance(checked)
    found: list[TextLength] = []
    problems: list[Problem] = []
    for measure in measurers:
        try:
            found += measure(steps, files)
        except Exception as error:  # the code of a node pack may raise anything
            problems.append(replace(hook_problem("measure", measure, error), severity="warning"))
    problems += [
        Problem("text", warning, text.node, text.input, severity="warning")
        for text in found
        for warning in text.warnings
    ]
    return found, problems


def _provenance(checked: Checked) -> dict[str, Provenance]:
    """Convert the nodes of a checked graph to the form that hooks get, by id; `meta` is empty."""
    return {
        node: Provenance(
            bound.type.name, bound.literals, {name: link.node for name, link in bound.links.items()}, {}
        )
        for node, bound in checked.steps.items()
    }
