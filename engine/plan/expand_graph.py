"""Expands a node that returned a graph: the steps of that graph compute the node's outputs."""

from __future__ import annotations

from engine.check.check import Checked, check_within
from engine.check.inline import ReplacedNode
from engine.check.links import OUTSIDE
from engine.document.graph import Binding, From, Graph, Literal
from engine.errors import GraphError, NodeError
from engine.plan.plan_errors import Unreadable
from engine.plan.step import Gather, Source, Step
from engine.plan.step_maker import StepMaker
from engine.plan.targets import needed_by
from engine.types.wires import Wire

MAX_DEPTH = 64
"""The most levels of nested returned graphs."""


def expand_graph(maker: StepMaker, step: Step, graph: Graph) -> None:
    """Add those steps of a returned graph to a plan that the outputs of the node may need.

    A `{"param": "image"}` in the graph stands for the node's own input `image`. So the steps have the same
    keys as if they were wired to the origin of that input.

    Args:
        maker: makes the steps.
        step: the step whose node returned the graph.
        graph: the returned graph; its outputs have the names of the node's outputs.

    Raises:
        GraphError: the graph has errors; they name its nodes as `loop/blur`. The plan is unchanged.
        NodeError: the graph is nested too deep, lacks an output, or has side effects although the node is
            declared pure. The plan is unchanged.
    """
    if step.depth >= MAX_DEPTH:
        hint = "let the node return values instead of a graph when its work is done"
        raise NodeError(
            f"run() returned graphs nested more than {MAX_DEPTH} levels deep", hint=hint, code="too_deep"
        )
    checked = _checked(maker, step, graph)
    impure = [node for node, bound in checked.steps.items() if not bound.type.pure]
    targets = dict.fromkeys([*(checked.outputs[name].node for name in step.bound.type.outputs), *impure])
    needed, certain = needed_by(checked, targets)
    before = len(maker.order)
    try:
        for node, bound in checked.steps.items():
            if node in needed:
                maker.add(bound, only_if_asked=step.only_if_asked or node not in certain, returned_by=step)
    except Unreadable as error:
        maker.remove(before)
        raise GraphError([error.problem]) from None
    except NodeError:
        maker.remove(before)
        raise
    outputs = [(name, checked.outputs[name]) for name in step.bound.type.outputs]
    origins = [Source(name, maker.by_id[link.node], link.output) for name, link in outputs]
    step.expand([*origins, *(Source("", maker.by_id[node], "") for node in impure)])


def _checked(maker: StepMaker, step: Step, graph: Graph) -> Checked:
    node_type = step.bound.type
    inputs: dict[str, Binding] = {name: Literal(value) for name, value in step.bound.literals.items()}
    wires: dict[str, Wire] = {}
    for source in step.sources:
        inputs[source.input] = From(OUTSIDE, source.input)
        wires[source.input] = _wire(source)
    replaced = ReplacedNode(step.id, inputs)
    checked = check_within(graph, replaced, wires, maker.checked.registry, maker.checked.read)
    if not checked.ok:
        raise GraphError(problem for problem in checked.problems if problem.severity == "error")
    for name, kind in node_type.outputs.items():
        link = checked.outputs.get(name)
        if link is None:
            hint = f"declare {name!r} under the outputs of the graph that run() returns"
            message = f"run() returned a graph without the output {name!r}"
            raise NodeError(message, hint=hint, code="bad_expansion")
        offered = checked.steps[link.node].outputs[link.output]
        if not offered.fits(kind) and not kind.is_open:
            raise NodeError(
                f"run() returned a graph whose output {name!r} is {offered}, but the node declares {kind}",
                code="bad_expansion",
            )
    impure = next((node for node, bound in checked.steps.items() if not bound.type.pure), None)
    if impure is not None and node_type.pure:
        inner = impure.removeprefix(step.id + "/")
        message = f"run() returned a graph whose node {inner} has side effects (pure=False)"
        hint = "declare pure=False for the node that returns the graph"
        raise NodeError(message, hint=hint, code="bad_expansion")
    return checked


def _wire(source: Source) -> Wire:
    kind = source.step.bound.outputs[source.output]
    step = source.step
    axes = len(step.element_index) if isinstance(step, Gather) else 0
    return Wire(kind.name, kind.lists - len(source.path) - axes)
