"""Makes an input of a node an input of its graph, so that it can be given a value or swept."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal as OneOf
from typing import get_args, get_origin

from engine.check.upgrade import upgraded
from engine.document.format import INPUT_TYPES
from engine.document.graph import Graph, GraphInput, Literal, Param
from engine.errors import GraphError, Problem
from engine.near_names import listed, near
from engine.node import Input
from engine.packs.registry import Registry
from engine.types.wires import bare
from engine.values import Json
from engine.widgets import FileIn


def exposed(graph: Graph, node: str, name: str, registry: Registry) -> tuple[Graph, str]:
    """Make an input of a node an input of the graph, named `NODE_INPUT`.

    Its present value becomes the default. An input that already takes an input of the graph is unchanged.

    Args:
        graph: the graph; it is not changed.
        node: the id of the node.
        name: the name of the node's input.
        registry: the installed node types.

    Returns:
        the changed graph, and the name of the graph's input.

    Raises:
        GraphError: there is no such node or input, or the input takes only a wire.
    """
    if node not in graph.nodes:
        hint = near(node, graph.nodes) or listed("the nodes are", graph.nodes)
        raise GraphError([Problem("unknown_node", f"the graph has no node {node!r}", hint=hint)])
    entry = graph.nodes[node]
    declared: dict[str, GraphInput] = {}
    if entry.is_graph:
        inner = graph.graphs.get(entry.type.removeprefix("#"))
        declared = {} if inner is None else inner.inputs
    elif (node_type := registry.types.get(entry.name)) is not None:
        entry = upgraded(node, entry, node_type)
        declared = {item.name: _graph_input(item) for item in node_type.inputs.values()}
    if name not in declared:
        message = f"the node has no input {name!r}"
        hint = near(name, declared) or listed("its inputs are", declared)
        raise GraphError([Problem("unknown_input", message, node, hint=hint)])
    held = entry.inputs.get(name)
    if isinstance(held, Param):
        return graph, held.name
    kind = declared[name].type
    if kind not in INPUT_TYPES and not kind.startswith("list of "):
        message = f"{name} takes only a wire, so it cannot be set to {kind} values"
        raise GraphError([Problem("bad_use", message, node, name, "name an input that has a value")])
    made = declared[name] if not isinstance(held, Literal) else _with_default(declared[name], held.value)
    given = _free(f"{node}_{name}"[:60], graph)
    nodes = {**graph.nodes, node: replace(entry, inputs={**entry.inputs, name: Param(given)})}
    return replace(graph, nodes=nodes, inputs={**graph.inputs, given: made}), given


def _graph_input(item: Input) -> GraphInput:
    annotation = bare(item.info.annotation)
    choices: tuple[Json, ...] = ()
    if any(isinstance(extra, FileIn) for extra in item.info.metadata):
        kind = "file"
    elif item.is_seed and not item.wire.lists:
        kind = "seed"
    elif get_origin(annotation) is OneOf:
        kind, choices = "choice", get_args(annotation)
    elif item.is_json:
        kind = "json"
    else:
        kind = str(item.wire)
    return GraphInput(kind, item.default, item.required, choices=choices)


def _with_default(item: GraphInput, value: Json) -> GraphInput:
    return replace(item, default=value, required=False, sweep=0)


def _free(name: str, graph: Graph) -> str:
    number = 2
    free = name
    while free in graph.inputs:
        free = f"{name}_{number}"
        number += 1
    return free
