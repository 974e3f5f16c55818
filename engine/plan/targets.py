"""Finds the target nodes of a run, and the nodes that they need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.check.bound import Bound
from engine.check.check import Checked
from engine.check.links import OUTSIDE
from engine.errors import GraphError, Problem
from engine.near_names import listed, near
from engine.plan.lazy_inputs import asked


def targets_of(checked: Checked, names: Sequence[str]) -> tuple[str, ...]:
    """Return the ids of the nodes that a run must compute.

    Args:
        checked: the graph.
        names: ids of nodes or subgraphs. If there are none, the targets are the nodes of the declared outputs
            and the nodes with side effects; without these, the nodes whose outputs no other node reads.

    Raises:
        GraphError: there is no such node.
    """
    targets: dict[str, None] = {}
    problems = []
    for name in names:
        if name in checked.subgraph_outputs:
            targets |= dict.fromkeys(checked.subgraph_outputs[name])
        elif name in checked.steps:
            targets[name] = None
        else:
            hint = near(name, checked.steps) or listed("the nodes are", checked.steps)
            problems.append(Problem("unknown_node", f"there is no node {name!r}", hint=hint))
    if problems:
        raise GraphError(problems)
    return tuple(targets) or _default_targets(checked)


def _default_targets(checked: Checked) -> tuple[str, ...]:
    targets = dict.fromkeys(link.node for link in checked.outputs.values())
    impure = [node for node, bound in checked.steps.items() if not bound.type.pure]
    if impure:
        optional = _optional(checked)
        targets |= dict.fromkeys(node for node in impure if node not in optional)
    if targets:
        return tuple(targets)
    inner = {link.node for bound in checked.steps.values() for link in bound.links.values()}
    return tuple(node for node in checked.steps if node not in inner)


def _optional(checked: Checked) -> set[str]:
    """Return the nodes that are read only through lazy inputs, so that they may not be needed."""
    wired: set[str] = {link.node for link in checked.outputs.values()}  # needed in every case
    lazily: set[str] = set()
    for node, bound in reversed(checked.steps.items()):
        optional = node in lazily and node not in wired
        for name, link in bound.links.items():
            (lazily if optional or name in bound.type.lazy else wired).add(link.node)
    return lazily - wired


def needed_by(checked: Checked, targets: Iterable[str]) -> tuple[set[str], set[str]]:
    """Find the nodes that the targets may need, and those of them that are needed in any case.

    The others are needed only if a node asks for a lazy input.
    """
    needed = set(targets)
    certain = set(needed)
    chosen: dict[str, frozenset[str] | None] = {}
    for found, only_certain in ((needed, False), (certain, True)):
        if only_certain and not chosen:  # no node has lazy inputs
            return needed, needed
        stack = list(found)
        while stack:
            node = stack.pop()
            bound = checked.steps[node]
            lazy = bound.type.lazy
            if lazy and node not in chosen:
                chosen[node] = _chosen(bound)
            for name, link in bound.links.items():
                if link.node == OUTSIDE:
                    continue
                if lazy and name in lazy:
                    reads = chosen[node]
                    if only_certain if reads is None else name not in reads:
                        continue
                if link.node not in found:
                    found.add(link.node)
                    stack.append(link.node)
    return needed, certain


def _chosen(bound: Bound) -> frozenset[str] | None:
    """Return the lazy inputs that a node will read; None if that is not known before the run."""
    if bound.lift is not None or any(name not in bound.type.lazy for name in bound.links):
        return None
    try:
        return asked(bound.type, bound.literals)
    except Exception:  # reported when the step is made
        return None
