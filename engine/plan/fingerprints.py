"""Computes the fingerprints of nodes, such as the digests of the files that they read, before they run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.check.check import Checked
from engine.errors import AuthorError, Problem, as_node_problem, short
from engine.files import Files
from engine.node import NodeType
from engine.problem_list import Problems
from engine.values import Json, canonical


class Wired(Exception):
    """Raised if the fingerprint depends on a wired input, whose value is not known yet."""


def fingerprint(
    node_type: NodeType, literals: Mapping[str, Json], wired: Iterable[str], files: Files
) -> Json:
    """The fingerprint of a node, computed from its literal inputs.

    Args:
        node_type: the type of the node.
        literals: the literal inputs, defaults included.
        wired: the names of the other inputs.
        files: the files that nodes may read.

    Raises:
        Wired: `Node.fingerprint` reads a wired input.
        Exception: an exception of `Node.fingerprint`.
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
        message = f"fingerprint() returned {short(result)}, which is not finite JSON"
        hint = "return a digest or other JSON; declare pure=False for a node that must run every time"
        raise AuthorError(message, node_type.cls.fingerprint, hint) from None
    return result


def unreadable_files(checked: Checked, files: Files) -> list[Problem]:
    """The problems of the files that nodes name in literal inputs. Nothing is planned or run.

    Args:
        checked: a graph, which may have errors; only its sound nodes are checked.
        files: the files that nodes may read.
    """
    problems = Problems()
    for node, bound in checked.steps.items():
        if bound.type.reads_world and bound.lift is None:
            try:
                fingerprint(bound.type, bound.literals, bound.links, files)
            except Wired:  # known only while running
                continue
            except Exception as error:  # the code of a node pack may raise anything
                problems.append(as_node_problem(error, node, bound.type.name)[0])
    return problems
