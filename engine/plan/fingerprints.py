"""Computes the fingerprints of nodes before they run, such as the digests of the files that they read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from engine.check.bound import Bound
from engine.check.check import Checked
from engine.document.fixing import without_stale_fix
from engine.document.graph import Graph
from engine.errors import AuthorError, NodeError, Problem, short
from engine.files import Files
from engine.fixes import SetInput
from engine.node import NodeType
from engine.pack_errors import as_node_problem
from engine.plan.targets import needed_by, targets_of
from engine.problem_list import Problems
from engine.values import Json, canonical


class Wired(Exception):
    """Raised if the fingerprint depends on a wired input, whose value is not known yet."""


def fingerprint(
    node_type: NodeType, literals: Mapping[str, Json], wired: Iterable[str], files: Files
) -> Json:
    """Compute the fingerprint of a node from its literal inputs.

    Args:
        node_type: the type of the node.
        literals: the literal inputs, including defaults.
        wired: the names of the other inputs.
        files: the files that nodes may read.

    Raises:
        Wired: `Node.fingerprint` reads a wired input.
        Exception: whatever `Node.fingerprint` raises.
    """
    wired = list(wired)
    if not wired:
        node = node_type.cls(**literals)
    else:
        known = {
            name: value if value is None else node_type.inputs[name].adapter.validate_python(value)
            for name, value in literals.items()
        }
        node = node_type.cls.model_construct(**known)
        for name in wired:
            node.__dict__.pop(name, None)
    try:
        result: Json = node.fingerprint(files)
    except AttributeError as error:
        if any(f"'{name}'" in str(error) for name in wired):
            raise Wired from None
        raise
    try:
        canonical(result)
    except (TypeError, ValueError):
        message = f"fingerprint() returned {short(result)}, which is not JSON, or contains NaN or infinity"
        hint = "return a digest or other JSON; declare pure=False for a node that must run every time"
        raise AuthorError(message, node_type.cls.fingerprint, hint) from None
    return result


def unreadable_files(checked: Checked, files: Files, targets: Sequence[str] = ()) -> list[Problem]:
    """List the problems of files that nodes name in literal inputs, without planning or running anything.

    Those of nodes that a run can do without are warnings.

    Args:
        checked: a graph, which may have errors; only its nodes without errors are examined.
        files: the files that nodes may read.
        targets: the nodes that the run is to compute; see `targets_of` for the default.

    Raises:
        GraphError: there is no such target.
    """
    needed = needed_by(checked, targets_of(checked, targets))[1] if checked.ok else checked.steps.keys()
    problems = Problems()
    for bound in checked.steps.values():
        if bound.type.reads_world and bound.lift is None:
            try:
                fingerprint(bound.type, bound.literals, bound.links, files)
            except Wired:  # known only while running
                continue
            except Exception as error:  # the code of a node pack may raise anything
                problem = problem_of(error, bound, checked.graph)
                problems.append(problem if bound.id in needed else replace(problem, severity="warning"))
    return problems


def problem_of(error: BaseException, bound: Bound, graph: Graph) -> Problem:
    """Make the problem of a node whose fingerprint cannot be computed, with a fix if one is certain."""
    problem = as_node_problem(error, bound.id, bound.type.name)[0]
    if not isinstance(error, NodeError) or error.instead is None:
        return problem
    was, to = error.instead
    inputs = [name for name, value in bound.literals.items() if value == was]
    if len(inputs) != 1:
        return problem
    return without_stale_fix(replace(problem, fix=SetInput(bound.id, inputs[0], was, to)), graph)
