"""`--sweep NAME=VALUES`: inputs of a graph that take many values, one after the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from engine.cli.options import flag, is_json, value
from engine.errors import GraphError, Problem
from engine.graph import Graph, GraphInput
from engine.registry import near
from engine.sweep import MOST, Sweep, words
from engine.values import Json


def parse(graph: Graph, specs: Sequence[str], given: Mapping[str, Json]) -> dict[str, Sweep]:
    """The inputs of a graph that take many values, each as `NAME=SPEC`; see `engine.sweep.words` for SPEC.

    An input of any JSON lists its values as one JSON list, since commas separate them inside of that too.

    Args:
        graph: the graph, whose inputs say of which type the values are.
        specs: what was written after each `--sweep`.
        given: the inputs that have a value already.

    Raises:
        GraphError: with every one that names no input, or one that has its value already, or whose values do
            not fit; or there are more than `sweep.MOST` combinations.
    """
    found: list[Problem] = []
    swept: dict[str, Sweep] = {}
    for item in specs:
        written, separator, spec = item.partition("=")
        name = _name(graph, written)
        place = f"--sweep {written}"
        if not separator or not written:
            hint = "write --sweep NAME=VALUES, such as --sweep seed=1,2,3"
            found.append(Problem("bad_option", f"--sweep {item!r} names no input and its values", hint=hint))
        elif name is None:
            hint = near(written, graph.inputs) or f"the graph has {', '.join(graph.inputs) or 'no inputs'}"
            found.append(Problem("unknown_param", f"{place}: the graph has no such input", hint=hint))
        elif name in swept or name in given:
            said = "is written twice" if name in swept else f"stands beside {flag(name)}"
            hint = "list all its values in one --sweep"
            found.append(Problem("given_twice", f"{place} {said}", hint=hint))
        else:
            try:
                swept[name] = Sweep(tuple(_values(graph.inputs[name], spec)))
            except ValueError as error:
                message, *hints = error.args
                problem = Problem("invalid_value", f"{place} {message}", hint=next(iter(hints), None))
                found.append(problem)
    count = math.prod(len(sweep.values) for sweep in swept.values())
    if count > MOST:
        message = f"the sweeps have {count:,} combinations; at most {MOST:,} are run"
        found.append(
            Problem("too_many", message, hint="sweep fewer values, or run one sweep after the other")
        )
    if found:
        raise GraphError(found)
    return swept


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
