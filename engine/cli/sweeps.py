"""`--sweep NAME=VALUES` and `--sweep NODE.INPUT=VALUES`: reads the values of the swept inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.check.expose import exposed
from engine.cli.options import flag, is_json, value
from engine.document.graph import Graph, GraphInput
from engine.document.sweep import MOST, Sweep, words
from engine.errors import GraphError, Problem
from engine.near_names import near
from engine.values import Json

if TYPE_CHECKING:
    from engine.packs.registry import Registry


def expose_swept(
    graph: Graph, specs: Sequence[str], sets: Sequence[str], registry: Registry
) -> tuple[Graph, list[str]]:
    """Make each input of a node that `--sweep NODE.INPUT=VALUES` names an input of the graph.

    Args:
        graph: the graph; it is not changed.
        specs: the text after each `--sweep`.
        sets: the text after each `--set`.
        registry: the installed node types.

    Returns:
        the changed graph, and `specs` with the names of the graph's inputs.

    Raises:
        GraphError: there is no such node or input, the input takes only a wire, or `--set` sets it too.
    """
    problems: list[Problem] = []
    renamed = []
    places = {item.partition("=")[0] for item in sets}
    for item in specs:
        written, separator, values = item.partition("=")
        node, dot, name = written.partition(".")
        if not dot or not separator:
            renamed.append(item)
            continue
        if written in places:
            message = f"--sweep {written} and --set {written} set the same input"
            problems.append(Problem("given_twice", message, hint="leave out one of them"))
            continue
        try:
            graph, given = exposed(graph, node, name, registry)
        except GraphError as error:
            problems += [
                replace(problem, message=f"--sweep {written}: {problem.message}")
                for problem in error.problems
            ]
        else:
            renamed.append(f"{given}={values}")
    if problems:
        raise GraphError(problems)
    return graph, renamed


def parse(graph: Graph, specs: Sequence[str], given: Mapping[str, Json]) -> dict[str, Sweep]:
    """Read the swept inputs of a graph from options of the form `NAME=VALUES`; see `sweep.words`.

    The values of a JSON input are written as one JSON list, since JSON itself contains commas.

    Args:
        graph: the graph; its inputs determine the types of the values.
        specs: the text after each `--sweep`.
        given: the inputs that have a value from another option.

    Raises:
        GraphError: a sweep names no input of the graph, names an input that has a value from another option,
            or has values that do not fit; or there are more than `sweep.MOST` combinations.
    """
    problems: list[Problem] = []
    swept: dict[str, Sweep] = {}
    for item in specs:
        written, separator, spec = item.partition("=")
        name = _name(graph, written)
        place = f"--sweep {written}"
        if not separator or not written:
            hint = "write --sweep NAME=VALUES or NODE.INPUT=VALUES, such as --sweep seed=1,2,3"
            problems.append(Problem("bad_option", f"--sweep {item!r} is not NAME=VALUES", hint=hint))
        elif name is None:
            hint = near(written, graph.inputs) or f"the graph has {', '.join(graph.inputs) or 'no inputs'}"
            problems.append(
                Problem("unknown_param", f"{place}: the graph has no input {written!r}", hint=hint)
            )
        elif name in swept or name in given:
            reason = "is given twice" if name in swept else f"and {flag(name)} set the same input"
            hint = "list all values in one --sweep"
            problems.append(Problem("given_twice", f"{place} {reason}", hint=hint))
        else:
            try:
                swept[name] = Sweep(tuple(_values(graph.inputs[name], spec)))
            except ValueError as error:
                message, *hints = error.args
                problems.append(Problem("invalid_value", f"{place} {message}", hint=next(iter(hints), None)))
    count = math.prod(len(sweep.values) for sweep in swept.values())
    if count > MOST:
        message = f"the sweeps have {count:,} combinations; the limit is {MOST:,}"
        problems.append(
            Problem("too_many", message, hint="sweep fewer values, or run the sweeps one after the other")
        )
    if problems:
        raise GraphError(problems)
    return swept


def split_at_commas(graph: Graph, specs: Sequence[str]) -> list[str]:
    """Make warnings for sweeps of text that looks like one sentence with commas: `prompt=a cat, red`."""
    warnings = []
    for spec in specs:
        written, _, text = spec.partition("=")
        name = _name(graph, written)
        is_text = name is not None and graph.inputs[name].type == "text"
        if is_text and not text.startswith("@") and '"' not in text and ", " in text:
            values = words(text)
            shown = " and ".join(map(repr, values[:2]))
            warnings.append(
                f"--sweep {written} was split at its commas into {len(values)} values, {shown} first"
                " · hint: put double quotes around a value that contains commas"
            )
    return warnings


def _name(graph: Graph, written: str) -> str | None:
    for name in (written, written.replace("-", "_"), written.replace("_", "-")):
        if name in graph.inputs:
            return name
    return None


def _values(item: GraphInput, spec: str) -> list[Json]:
    if is_json(item) and not spec.startswith("@"):
        listed = value(item, spec)
        if not isinstance(listed, list) or not 0 < len(listed) <= MOST:
            raise ValueError(f"takes one JSON list of 1 to {MOST:,} values", "write it as '[1, 2]'")
        return listed
    return [value(item, word) for word in words(spec, numbers=item.type in ("seed", "int", "float"))]
