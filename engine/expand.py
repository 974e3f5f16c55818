"""A graph that a node returned while it ran, as further steps of the run: loops over data are made so."""

from __future__ import annotations

from engine.check import OUTSIDE, check_within
from engine.errors import GraphError, NodeError, Problem
from engine.graph import Binding, From, Graph, Literal
from engine.inline import Around
from engine.plan import Plan, decide
from engine.step import Gather, Source, Step
from engine.steps import Unreadable
from engine.store.store import Store
from engine.wires import Wire

MAX_DEPTH = 64
"""How many nodes may return a graph with a node that returns a graph."""


def expanded(plan: Plan, store: Store, step: Step, graph: Graph) -> list[Source]:
    """Add the steps of a graph that stands in place of a step; says where the step's outputs come from.

    What the graph binds to `{"param": "image"}` is what the node's own input `image` is given, so its steps
    have the keys that they would have if they had been wired there.

    Args:
        plan: what is being run.
        store: where results may lie already.
        step: the step whose node returned the graph.
        graph: its outputs are named as the node's are.

    Raises:
        GraphError: the graph has errors; they name its nodes as `loop/blur`.
        NodeError: it nests too deep, lacks an output, or acts on the world inside a pure node.
    """
    maker, node_type = plan.maker, step.bound.type
    if step.depth >= MAX_DEPTH:
        hint = "let the node return values once there is nothing left to do"
        raise NodeError(
            f"returned graphs within graphs, more than {MAX_DEPTH} deep", hint=hint, code="too_deep"
        )
    inputs: dict[str, Binding] = {name: Literal(value) for name, value in step.bound.literals.items()}
    wires: dict[str, Wire] = {}
    for source in step.sources:
        inputs[source.input] = From(OUTSIDE, source.input)
        wires[source.input] = _brings(source)
    around = Around(step.id, inputs)
    checked = check_within(graph, around, wires, maker.checked.registry, maker.checked.read)
    if not checked.ok:
        raise GraphError(problem for problem in checked.problems if problem.severity == "error")
    found: list[Source] = []
    for name, kind in node_type.outputs.items():
        link = checked.outputs.get(name)
        if link is None:
            hint = f"declare {name!r} under the outputs of the graph that run() returns"
            raise NodeError(f"returned a graph without the output {name!r}", hint=hint, code="bad_expansion")
        offered = checked.steps[link.node].outputs[link.output]
        if not offered.fits(kind) and not kind.is_open:
            raise NodeError(
                f"returned a graph whose output {name!r} is {offered} where {kind} was declared",
                code="bad_expansion",
            )
    acting = [node for node, bound in checked.steps.items() if not bound.type.pure]
    if acting and node_type.pure:
        raise NodeError(
            f"returned a graph in which {acting[0].removeprefix(step.id + '/')} acts on the world",
            hint="declare the node that returns it with pure=False",
            code="bad_expansion",
        )
    before = len(maker.order)
    problems: list[Problem] = []
    for bound in checked.steps.values():
        try:
            maker.add(bound, around=step)
        except Unreadable as error:
            problems.append(error.problem)
            break
    if problems:
        raise GraphError(problems)
    for name in node_type.outputs:
        link = checked.outputs[name]
        found.append(Source(name, maker.by_id[link.node], link.output))
    found += [Source("", maker.by_id[node], "") for node in acting]
    wanted = {source.step for source in found}
    decide(maker.order[before:], wanted, store)
    return found


def _brings(source: Source) -> Wire:
    kind = source.step.bound.outputs[source.output]
    step = source.step
    return Wire(kind.name, kind.lists - len(source.path) - (len(step.at) if isinstance(step, Gather) else 0))
